package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

// Change is one message of the daemon's live feed: exactly one of the pointers is set.
type Change struct {
	Stream *controller.StreamView
	Hook   *controller.Record
	Raw    []byte
}

const (
	feedAgain   = time.Second      // between a lost feed and the next attempt
	feedSilence = 45 * time.Second // the daemon sends a sign of life every 15 s
)

// Follow reads the live feed and connects again when it breaks off, until ctx ends or show returns
// an error. If ready is not nil, it is called each time the feed is open: show gets everything that
// happens after. The end of ctx is not an error: it is how following ends.
func (c *Client) Follow(ctx context.Context, ready func() error, show func(Change) error) error {
	last := ""
	for try := 0; ; try++ {
		err := c.followOnce(ctx, &last, ready, show)
		var broken feedBroken
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &broken):
		case try > 0 && IsUnreachable(err): // it restarts
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(feedAgain):
		}
	}
}

// feedBroken is the end of a feed that was open.
type feedBroken struct{ error }

func (e feedBroken) Unwrap() error { return e.error }

func (c *Client) followOnce(ctx context.Context, last *string, ready func() error, show func(Change) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	header := http.Header{"Accept": {"text/event-stream"}}
	if *last != "" {
		header.Set("Last-Event-ID", *last)
	}
	silence := time.AfterFunc(feedSilence, cancel)
	defer silence.Stop()
	resp, err := c.send(ctx, http.MethodGet, "/api/v1/watch", header, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if ready != nil {
		if err := ready(); err != nil {
			return err
		}
	}
	var event message
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if err == io.EOF {
				err = errors.New("the daemon closed the feed")
			}
			return feedBroken{err}
		}
		silence.Reset(feedSilence)
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			event.add(line)
			continue
		}
		ch, ok := event.change()
		if event.id != "" {
			*last = event.id
		}
		event = message{}
		if ok {
			if err := show(ch); err != nil {
				return err
			}
		}
	}
}

// message is one server-sent event (WHATWG HTML, 9.2).
type message struct{ id, event, data string }

func (m *message) add(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		m.id = value
	case "event":
		m.event = value
	case "data":
		m.data += value
	}
}

func (m *message) change() (Change, bool) {
	ch := Change{Raw: []byte(m.data)}
	switch m.event {
	case "stream":
		return ch, json.Unmarshal(ch.Raw, &ch.Stream) == nil && ch.Stream != nil
	case "event":
		return ch, json.Unmarshal(ch.Raw, &ch.Hook) == nil && ch.Hook != nil
	}
	return ch, false
}
