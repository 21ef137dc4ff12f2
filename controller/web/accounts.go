package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Rotation is a webhook's new secret, and the webhook afterwards.
type Rotation struct {
	Webhook controller.WebhookView
	Secret  secret.Value
}

// Rotate gives the account's webhook a new secret; from then on both secrets verify hooks.
// ErrInvalid is in the chain of a person's mistakes.
type Rotate func(ctx context.Context, account string) (Rotation, error)

// rotateWebhook answers with the secret itself only when the request says so. Whoever has the
// secret can forge hooks, and on loopback without a token everybody on this host can make requests:
// so only proven clients may rotate it.
func (a *Admin) rotateWebhook(c echo.Context) error {
	if !a.proven(c.Request()) {
		return notProven("give the webhook a new secret")
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	r, err := a.opts.Rotate(ctx, c.Param("id"))
	if err != nil {
		return platformFailure(err)
	}
	answer := struct {
		Webhook controller.WebhookView `json:"webhook"`
		Secret  string                 `json:"secret,omitempty"`
	}{Webhook: r.Webhook}
	if c.QueryParam("show_secret") == "true" {
		answer.Secret = r.Secret.Reveal()
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(http.StatusOK, answer)
}

// platformFailure is the error of a call that goes on to the platform. Its text is for people.
func platformFailure(err error) error {
	if _, known := asProblem(err); known {
		return err
	}
	hint := ""
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok {
		hint = h.Hint()
	}
	return newProblem(http.StatusBadGateway, err.Error(), hint)
}

// TokenRotation is a stream's new publishing token.
type TokenRotation struct {
	Stream controller.StreamID // or the id of the pattern that the token is for
	ID     int
	Label  string
	Value  secret.Value
}

// RotateToken gives a stream, or a pattern, another publishing token. ErrInvalid is in the chain of
// a person's mistakes.
type RotateToken func(ctx context.Context, id controller.StreamID) (TokenRotation, error)

// rotateToken is as careful with the token as rotateWebhook is with the secret.
func (a *Admin) rotateToken(c echo.Context) error {
	if !a.proven(c.Request()) {
		return notProven("give the stream another publishing token")
	}
	id, err := streamID(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	r, err := a.opts.RotateToken(ctx, id)
	if err != nil {
		return platformFailure(err)
	}
	answer := struct {
		Stream controller.StreamID `json:"stream"`
		ID     int                 `json:"id"`
		Label  string              `json:"label"`
		Token  string              `json:"token,omitempty"`
	}{Stream: r.Stream, ID: r.ID, Label: r.Label}
	if c.QueryParam("show_secret") == "true" {
		answer.Token = r.Value.Reveal()
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(http.StatusOK, answer)
}
