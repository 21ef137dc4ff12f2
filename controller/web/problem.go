package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/controller"
)

// problem is an error answer of the admin side (RFC 9457). The command line prints Detail after
// "error:" and Hint after "hint:".
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`

	Problems []string `json:"problems,omitempty"` // of a refused configuration
}

const problemKind = "application/problem+json"

func newProblem(status int, detail, hint string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Hint: hint}
}

func (p *problem) Error() string { return p.Detail }

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	w.Header().Set(echo.HeaderContentType, problemKind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // it fails only when the client has gone
}

// asProblem turns any error into an answer. Errors whose text is not meant for people become a
// fixed sentence; known says whether err's own text is used.
func asProblem(err error) (p *problem, known bool) {
	if p, ok := errors.AsType[*problem](err); ok {
		return p, true
	}
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		return routeProblem(he.Code), true
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		detail := fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)
		return newProblem(http.StatusRequestEntityTooLarge, detail, ""), true
	}
	for _, row := range []struct {
		sentinel error
		status   int
	}{
		{controller.ErrUnknownStream, http.StatusNotFound},
		{controller.ErrInvalid, http.StatusUnprocessableEntity},
		{controller.ErrFull, http.StatusTooManyRequests},
		{controller.ErrStore, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, http.StatusGatewayTimeout},
	} {
		if errors.Is(err, row.sentinel) {
			text := strings.ReplaceAll(err.Error(), context.DeadlineExceeded.Error(), "no answer in time")
			return newProblem(row.status, text, ""), true
		}
	}
	return newProblem(http.StatusInternalServerError, "something went wrong inside oncue", "see its log"), false
}

// unreadable is the answer to a malformed request.
func unreadable(status int) (kind string, body []byte) {
	p := newProblem(status, "the request is malformed: its address or a header is not valid HTTP",
		"in addresses a stream's id is percent-encoded: / is %2F, % is %25")
	if status != http.StatusBadRequest {
		p = routeProblem(status)
	}
	body, _ = json.Marshal(p) // cannot fail: all members are plain
	return problemKind, append(body, '\n')
}

func routeProblem(status int) *problem {
	switch status {
	case http.StatusNotFound:
		return newProblem(status, "there is nothing at this address", "GET /api/v1/openapi.yaml lists the addresses")
	case http.StatusMethodNotAllowed:
		return newProblem(status, "this address does not support that method",
			"GET /api/v1/openapi.yaml lists the methods of each address")
	default:
		return newProblem(status, http.StatusText(status), "")
	}
}
