package httpapi

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/boxes"
)

// A TraceEntry is one request as it went to the box, and what came back. It holds no secret.
type TraceEntry struct {
	At      time.Time
	Step    string // start, stop, status or login
	Request string // method and address
	Headers []string
	Body    string
	Status  string // of the answer, such as "200 OK"; "" when there was none
	Answer  string
	Error   string // when there was no answer
	Took    time.Duration
}

// maxTraced is how much of a body a trace shows, bytes.
const maxTraced = 4096

// trace shows one request and its answer, whose body is given apart.
func (c *call) trace(req *http.Request, res *http.Response, body []byte, err error, began time.Time) {
	show := c.e.tracer()
	if show == nil {
		return
	}
	address := req.URL.String()
	if base, err := c.plan.base(c.Values, true); err == nil && c.plan.socket != "" {
		address = base + req.URL.RequestURI()
	}
	t := TraceEntry{
		At: began, Step: string(c.step), Took: time.Since(began),
		Request: req.Method + " " + boxes.Clean(c.Mask, address),
	}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		value := boxes.Clean(c.Mask, strings.Join(req.Header[name], ", "))
		if secret.Named(name) {
			value = boxes.Mask
		}
		t.Headers = append(t.Headers, boxes.Clean(c.Mask, name)+": "+value)
	}
	if req.GetBody != nil {
		if b, bodyErr := req.GetBody(); bodyErr == nil {
			text, _ := io.ReadAll(io.LimitReader(b, maxTraced))
			t.Body = boxes.Clean(c.Mask, string(text))
		}
	}
	if res != nil {
		t.Status = res.Status
		t.Answer = boxes.Clean(c.Mask, string(bytes.TrimSpace(body[:min(len(body), maxTraced)])))
	}
	if err != nil {
		t.Error = boxes.Clean(c.Mask, c.reason(err))
	}
	show(t)
}

// Trace calls show with each request and its answer from now on; nil ends that. show may be called
// from several goroutines, one at a time for one box.
func (e *Encoder) Trace(show func(TraceEntry)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.show = show
}

func (e *Encoder) tracer() func(TraceEntry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.show
}
