package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/controller"
)

const (
	heartbeat  = 15 * time.Second // between comments that show proxies and clients that the connection works
	eventLimit = 10 * time.Second // for one write to a slow client
	eventRetry = 2000             // milliseconds until a browser connects again
)

// watch sends live updates as server-sent events, resumed after Last-Event-ID.
func (a *Admin) watch(c echo.Context) error {
	after, err := lastSeen(c.Request())
	if err != nil {
		return err
	}
	select {
	case a.watchers <- struct{}{}:
		defer func() { <-a.watchers }()
	default:
		return newProblem(http.StatusServiceUnavailable, "too many clients are watching",
			"close some dashboards, or commands that watch")
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	defer context.AfterFunc(a.ending, cancel)()
	changes := a.opts.Controller.Watch(ctx, after)

	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w := eventWriter{w: c.Response(), control: http.NewResponseController(c.Response())}
	_ = w.control.SetReadDeadline(time.Time{}) // or else the request's own deadline ends the connection
	c.Response().WriteHeader(http.StatusOK)
	w.buf.WriteString("retry: " + strconv.Itoa(eventRetry) + "\n: oncue\n\n")
	w.run(changes)
	return nil
}

func lastSeen(r *http.Request) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, newProblem(http.StatusBadRequest, "Last-Event-ID: "+quote(text)+" is not an id of an event", "")
	}
	return id, nil
}

// eventWriter writes one client's events. Events that are ready together go out in one write.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

// run returns when the changes end, or when the client has gone.
func (w *eventWriter) run(changes <-chan controller.Change) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for w.flush() == nil {
		select {
		case change, open := <-changes:
			if !open {
				return
			}
			w.add(change)
			for more := true; more && w.buf.Len() < 64<<10; {
				select {
				case change, open := <-changes:
					if !open {
						_ = w.flush()
						return
					}
					w.add(change)
				default:
					more = false
				}
			}
		case <-beat.C:
			w.buf.WriteString(": alive\n\n")
		}
	}
}

func (w *eventWriter) add(change controller.Change) {
	var name string
	var body any
	switch {
	case change.Stream != nil:
		name, body = "stream", newStreamJSON(*change.Stream)
	case change.Helper != nil:
		name, body = "helper", change.Helper
	case change.Hook != nil:
		name, body = "event", newEventJSON(*change.Hook)
	default:
		return
	}
	data, err := json.Marshal(body)
	if err != nil {
		return // cannot happen: all members of the types marshal
	}
	w.buf.WriteString("id: " + strconv.FormatUint(change.ID, 10) + "\nevent: " + name + "\ndata: ")
	w.buf.Write(data)
	w.buf.WriteString("\n\n")
}

func (w *eventWriter) flush() error {
	if err := w.control.SetWriteDeadline(time.Now().Add(eventLimit)); err != nil {
		return err
	}
	if _, err := w.w.Write(w.buf.Bytes()); err != nil {
		return err
	}
	w.buf.Reset()
	return w.control.Flush()
}
