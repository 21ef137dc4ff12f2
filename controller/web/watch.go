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
	heartbeat  = 15 * time.Second // a comment, so that proxies and readers see that the feed is alive
	feedWrites = 10 * time.Second // what one message may take to a slow reader
	feedRetry  = 2000             // milliseconds until a browser connects again
)

// watch is the live feed: server-sent events, resumed after Last-Event-ID.
func (a *Admin) watch(c echo.Context) error {
	after, err := lastSeen(c.Request())
	if err != nil {
		return err
	}
	select {
	case a.watchers <- struct{}{}:
		defer func() { <-a.watchers }()
	default:
		return newProblem(http.StatusServiceUnavailable, "too many open feeds", "close some pages or command lines that watch")
	}
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	defer context.AfterFunc(a.ending, cancel)()
	changes := a.opts.Controller.Watch(ctx, after)

	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	f := feed{w: c.Response(), control: http.NewResponseController(c.Response())}
	_ = f.control.SetReadDeadline(time.Time{}) // the request's own would end the feed
	c.Response().WriteHeader(http.StatusOK)
	f.buf.WriteString("retry: " + strconv.Itoa(feedRetry) + "\n: oncue\n\n")
	f.run(changes)
	return nil
}

func lastSeen(r *http.Request) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, newProblem(http.StatusBadRequest, "Last-Event-ID: "+quote(text)+" is not an id of this feed", "")
	}
	return id, nil
}

// feed writes one reader's events. What has come in meanwhile leaves in one write.
type feed struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

// run ends when the changes end, or when the reader has gone.
func (f *feed) run(changes <-chan controller.Change) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for f.flush() == nil {
		select {
		case change, open := <-changes:
			if !open {
				return
			}
			f.add(change)
			for more := true; more && f.buf.Len() < 64<<10; {
				select {
				case change, open := <-changes:
					if !open {
						_ = f.flush()
						return
					}
					f.add(change)
				default:
					more = false
				}
			}
		case <-beat.C:
			f.buf.WriteString(": alive\n\n")
		}
	}
}

func (f *feed) add(change controller.Change) {
	var name string
	var body any
	switch {
	case change.Stream != nil:
		name, body = "stream", newStreamJSON(*change.Stream)
	case change.Hook != nil:
		name, body = "event", newEventJSON(*change.Hook)
	default:
		return
	}
	data, err := json.Marshal(body)
	if err != nil {
		return // cannot happen: the types hold nothing that does not marshal
	}
	f.buf.WriteString("id: " + strconv.FormatUint(change.ID, 10) + "\nevent: " + name + "\ndata: ")
	f.buf.Write(data)
	f.buf.WriteString("\n\n")
}

func (f *feed) flush() error {
	if err := f.control.SetWriteDeadline(time.Now().Add(feedWrites)); err != nil {
		return err
	}
	if _, err := f.w.Write(f.buf.Bytes()); err != nil {
		return err
	}
	f.buf.Reset()
	return f.control.Flush()
}
