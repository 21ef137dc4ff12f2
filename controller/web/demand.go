package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/configs/words"
	"github.com/oncue/oncue/controller"
)

// A lease that nobody renews keeps an encoder on for nobody, so its end is never far.
const (
	minLease = time.Second
	maxLease = 24 * time.Hour
)

const demandSample = `send {"for":"60s","by":"…"}; for is required`

// setDemand has somebody ask for a stream for a while, as a viewer does who waits.
func (a *Admin) setDemand(c echo.Context) error {
	var body struct {
		For string `json:"for"`
		By  string `json:"by"`
	}
	if err := readBody(c, &body, demandSample); err != nil {
		return err
	}
	d, err := words.ParseDuration(body.For)
	switch {
	case body.For == "":
		return newProblem(http.StatusUnprocessableEntity, "for is missing: how long the stream is wanted", demandSample)
	case err != nil:
		return newProblem(http.StatusUnprocessableEntity,
			fmt.Sprintf("for: %q is not a duration (examples: 60s, 10m)", body.For), "")
	case d < minLease || d > maxLease:
		return newProblem(http.StatusUnprocessableEntity, fmt.Sprintf("for: %q is not between %s and %s", body.For,
			words.FormatDuration(minLease), words.FormatDuration(maxLease)), "send the request again before the time is over")
	}
	return a.demand(c, body.By, d)
}

// endDemand ends what the same name has asked for.
func (a *Admin) endDemand(c echo.Context) error { return a.demand(c, c.QueryParam("by"), 0) }

func (a *Admin) demand(c echo.Context, by string, lasts time.Duration) error {
	id, err := streamID(c)
	if err != nil {
		return err
	}
	if len([]rune(by)) > maxText {
		return newProblem(http.StatusUnprocessableEntity, fmt.Sprintf("by: at most %d characters", maxText), "")
	}
	if by == "" {
		by = a.author(c.Request())
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	s, err := a.opts.Controller.SetDemand(ctx, id, controller.DemandRequest{By: by, For: lasts})
	if errors.Is(err, controller.ErrUnknownStream) {
		return unknownStream(id, a.opts.Controller.Streams())
	}
	if err != nil {
		return err
	}
	return sendJSON(c, newStreamJSON(s))
}
