package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/configs/words"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

const (
	maxBody = 16 << 10
	maxText = 200 // characters of by and why
	maxHold = 366 * 24 * time.Hour
)

// streamID is the id in the path: one segment, percent-encoded.
func streamID(c echo.Context) (controller.StreamID, error) {
	id, err := url.PathUnescape(c.Param("id"))
	if err != nil {
		return "", newProblem(http.StatusBadRequest, "the stream id is not percent-encoded: "+quote(c.Param("id")), "")
	}
	return controller.StreamID(id), nil
}

// found returns the stream that the path names.
func (a *Admin) found(c echo.Context) (controller.StreamView, error) {
	id, err := streamID(c)
	if err != nil {
		return controller.StreamView{}, err
	}
	s, ok := a.opts.Controller.Stream(id)
	if !ok {
		return s, unknownStream(id, a.opts.Controller.Streams())
	}
	return s, nil
}

func (a *Admin) streams(c echo.Context) error {
	return sendJSON(c, streamsJSON(a.opts.Controller.Streams()))
}

func (a *Admin) stream(c echo.Context) error {
	s, err := a.found(c)
	if err != nil {
		return err
	}
	return sendJSON(c, newStreamJSON(s))
}

// modeBody is the body of PUT mode.
type modeBody struct {
	Mode controller.Mode `json:"mode"`
	For  string          `json:"for"`
	By   string          `json:"by"`
	Why  string          `json:"why"`
}

func (a *Admin) setMode(c echo.Context) error {
	id, err := streamID(c)
	if err != nil {
		return err
	}
	var body modeBody
	if err := readBody(c, &body, modeSample); err != nil {
		return err
	}
	request, err := body.request()
	if err != nil {
		return err
	}
	if request.By == "" {
		request.By = a.author(c.Request())
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	s, err := a.opts.Controller.SetMode(ctx, id, request) // it also makes a stream of a pattern
	if errors.Is(err, controller.ErrUnknownStream) {
		return unknownStream(id, a.opts.Controller.Streams())
	}
	if err != nil {
		return err
	}
	a.opts.Log.Info("mode set", "stream", s.ID, "mode", string(request.Mode), "for", request.For.String(),
		"by", request.By, "why", request.Why)
	return sendJSON(c, newStreamJSON(s))
}

// author names the sender of r, for requests that do not name it themselves.
func (a *Admin) author(r *http.Request) string {
	if uid, ok := localUser(r); ok && reachedAt(r) == placeUnix {
		return userName(uid)
	}
	return "the API, from " + a.clientAddr(r)
}

const modeSample = `send {"mode":"on","for":"2h","by":"…","why":"…"}; only mode is required`

// readBody reads the one JSON object of a request; sample shows how to send it.
func readBody(c echo.Context, body any, sample string) error {
	kind, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON {
		return newProblem(http.StatusUnsupportedMediaType, "the body is not JSON",
			"send Content-Type: application/json")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, maxBody))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(body)
	if err == nil && decoder.Decode(new(json.RawMessage)) != io.EOF {
		return newProblem(http.StatusBadRequest, "the body cannot be read: something follows the object", sample)
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return err
	}
	if err != nil {
		return newProblem(http.StatusBadRequest, "the body cannot be read: "+millicast.Misfit(err), sample)
	}
	return nil
}

// request checks what a person asked for.
func (b modeBody) request() (controller.ModeRequest, error) {
	r := controller.ModeRequest{Mode: b.Mode, By: b.By, Why: b.Why}
	invalid := func(format string, args ...any) (controller.ModeRequest, error) {
		return r, newProblem(http.StatusUnprocessableEntity, fmt.Sprintf(format, args...), "")
	}
	switch b.Mode {
	case controller.ModeOn, controller.ModeOff, controller.ModeAuto:
	case "":
		return invalid("mode is missing: on, off or auto")
	default:
		return invalid("mode: %q is not on, off or auto", string(b.Mode))
	}
	if b.For != "" {
		d, err := words.ParseDuration(b.For)
		switch {
		case err != nil:
			return invalid("for: %q is not a duration (examples: 30m, 2h, 1d)", b.For)
		case d <= 0 || d > maxHold:
			return invalid("for: %q is not between 0 and %.0fh", b.For, maxHold.Hours())
		case b.Mode == controller.ModeAuto:
			return invalid("for: auto has no end; leave it out")
		}
		r.For = d
	}
	if len([]rune(b.By)) > maxText || len([]rune(b.Why)) > maxText {
		return invalid("by and why: at most %d characters each", maxText)
	}
	return r, nil
}

func (a *Admin) history(c echo.Context) error {
	limit, err := whole(c, "limit", 1, 1000, 100)
	if err != nil {
		return err
	}
	before, err := whole(c, "before", 0, math.MaxInt64, 0)
	if err != nil {
		return err
	}
	s, err := a.found(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	folded, read := c.QueryParam("fold") == "true", int(limit)
	if folded { // one line may stand for many transitions
		read = 1000
	}
	history, err := a.opts.Controller.History(ctx, s.ID, read, before)
	if err != nil {
		return err
	}
	if folded {
		lines := fold(history)
		return sendJSON(c, lines[:min(len(lines), int(limit))])
	}
	if history == nil {
		history = []controller.Transition{}
	}
	return sendJSON(c, history)
}

// encoderLog shows the last lines that an encoder wrote.
func (a *Admin) encoderLog(c echo.Context) error {
	lines, err := whole(c, "lines", 1, 10000, 200)
	if err != nil {
		return err
	}
	s, err := a.found(c)
	if err != nil {
		return err
	}
	encoder := c.QueryParam("encoder")
	if encoder != "" && !hasEncoder(s, encoder) {
		return newProblem(http.StatusNotFound, "stream "+quote(s.ID)+" has no encoder "+quote(encoder), "")
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	text, err := a.opts.Controller.Log(ctx, s.ID, encoder, int(lines))
	if err != nil {
		if p, known := asProblem(err); known {
			return p
		}
		return newProblem(http.StatusBadGateway, err.Error(), "") // a driver's errors are meant for people
	}
	if len(text) > 0 {
		text = append(text, "")
	}
	noStore(c)
	return c.String(http.StatusOK, strings.Join(text, "\n"))
}

func hasEncoder(s controller.StreamView, name string) bool {
	return slices.ContainsFunc(s.Encoders, func(e controller.EncoderView) bool { return e.Name == name })
}

// thumbnail sends the last picture. With ?missing=204, a stream without a picture is no error.
func (a *Admin) thumbnail(c echo.Context) error {
	s, err := a.found(c)
	if err != nil {
		return err
	}
	jpeg, at, ok := a.opts.Controller.Thumbnail(s.ID)
	if !ok {
		if c.QueryParam("missing") == "204" {
			return c.NoContent(http.StatusNoContent)
		}
		return newProblem(http.StatusNotFound, "stream "+quote(s.ID)+" has no thumbnail yet",
			"thumbnail hooks bring it, when the webhook includes them")
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Last-Modified", at.UTC().Format(http.TimeFormat))
	return c.Blob(http.StatusOK, "image/jpeg", jpeg)
}

// sendJSON answers with v, which no cache may keep.
func sendJSON(c echo.Context, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	noStore(c)
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, append(body, '\n'))
}

func noStore(c echo.Context) { c.Response().Header().Set("Cache-Control", "no-store") }

// quote shows a text from outside in quotes, with control characters escaped, and shortened.
func quote[S ~string](text S) string {
	s := string(text)
	if r := []rune(s); len(r) > 140 {
		s = string(r[:140]) + "…"
	}
	return strconv.Quote(s)
}

func panicError(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }
