package web

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/controller"
)

// statusJSON is the answer of GET /status.
type statusJSON struct {
	Version  string                   `json:"version"`
	Started  controller.Time          `json:"started"`
	Now      controller.Time          `json:"now"` // by this host's clock; a page can correct its own clock by it
	Ready    bool                     `json:"ready"`
	NotReady []string                 `json:"not_ready"` // the reasons
	Problems []string                 `json:"problems"`  // what people must know, such as a refused configuration
	Config   *ConfigState             `json:"config,omitempty"`
	Platform []controller.AccountView `json:"platform"`
	Savings  savingsJSON              `json:"savings"`
	Count    int                      `json:"stream_count"`
	Streams  []streamJSON             `json:"streams"`
	Helpers  []controller.HelperView  `json:"helpers"`
}

// ConfigState is the configuration in force.
type ConfigState struct {
	File     string          `json:"file"`     // absolute path
	Loaded   controller.Time `json:"loaded"`   // when it was read
	Modified controller.Time `json:"modified"` // the file's time then, to compare with its time now
	Refused  []string        `json:"refused"`  // problems of the file when it was last read; empty: it is in force
}

// savingsJSON sums the savings of all streams.
type savingsJSON struct {
	Since    *controller.Time `json:"since"` // the earliest of all streams
	RunS     float64          `json:"run_s"`
	WatchedS float64          `json:"watched_s"`
	AvoidedS float64          `json:"avoided_s"`
	Wakes    int              `json:"wakes"`
	Wasted   int              `json:"wasted_starts"`
	Starts   int              `json:"starts"`
}

// streamJSON is a stream as the API shows it: a StreamView whose feeds have the API's time format.
type streamJSON struct {
	controller.StreamView
	Feeds []feedJSON `json:"feeds"`
}

type feedJSON struct {
	ID       string           `json:"id"`
	Started  *controller.Time `json:"started"`
	SourceID string           `json:"source_id"`
	Priority *int             `json:"priority"`
	Encoder  *string          `json:"encoder"`
}

// eventJSON is a hook of the journal as the API shows it.
type eventJSON struct {
	Seq      int64               `json:"seq"`
	Received controller.Time     `json:"received"`
	Sent     *controller.Time    `json:"sent"`
	Account  string              `json:"account"`
	Stream   controller.StreamID `json:"stream"`
	Type     string              `json:"type"`
	Event    string              `json:"event"`
	Verdict  controller.Verdict  `json:"verdict"`
	Note     string              `json:"note"`
	Size     int                 `json:"size"`
}

func newStreamJSON(s controller.StreamView) streamJSON {
	out := streamJSON{StreamView: s, Feeds: make([]feedJSON, len(s.Feeds))}
	for i, f := range s.Feeds {
		out.Feeds[i] = feedJSON{
			ID: f.ID, Started: timeOrNull(f.Started.Time()), SourceID: f.SourceID, Priority: f.Priority,
		}
		if f.Encoder != "" {
			out.Feeds[i].Encoder = &f.Encoder
		}
	}
	if out.Demand == nil {
		out.Demand = []controller.Lease{}
	}
	if out.Encoders == nil {
		out.Encoders = []controller.EncoderView{}
	}
	return out
}

func streamsJSON(streams []controller.StreamView) []streamJSON {
	out := make([]streamJSON, len(streams))
	for i, s := range streams {
		out[i] = newStreamJSON(s)
	}
	return out
}

func newEventJSON(r controller.Record) eventJSON {
	return eventJSON{
		Seq: r.Seq, Received: controller.Time{Time: r.Received}, Sent: timeOrNull(r.Sent),
		Account: r.Account, Stream: r.Stream, Type: r.Type, Event: r.Event,
		Verdict: r.Verdict, Note: r.Note, Size: r.Size,
	}
}

func timeOrNull(t time.Time) *controller.Time {
	if t.IsZero() {
		return nil
	}
	return &controller.Time{Time: t}
}

func sumSavings(streams []controller.StreamView) savingsJSON {
	var sum savingsJSON
	for _, s := range streams {
		if since := s.Savings.Since; sum.Since == nil || since.Before(sum.Since.Time) {
			sum.Since = &since
		}
		sum.RunS += s.Savings.RunS
		sum.WatchedS += s.Savings.WatchedS
		sum.AvoidedS += s.Savings.AvoidedS
		sum.Wakes += s.Savings.Wakes
		sum.Wasted += s.Savings.Wasted
		sum.Starts += s.Starts
	}
	return sum
}

// status shows everything. ?streams=none omits the streams, for a page that follows them by watch;
// ?match=PATTERN keeps only those whose name or id the pattern matches.
func (a *Admin) status(c echo.Context) error {
	reasons := a.notReady(c)
	streams := a.opts.Controller.Streams()
	count := len(streams)
	if pattern := c.QueryParam("match"); pattern != "" {
		matches := Matcher(pattern)
		streams = slices.DeleteFunc(streams, func(s controller.StreamView) bool { return !matches(s.ID) })
	}
	accounts := a.opts.Controller.Accounts()
	if accounts == nil {
		accounts = []controller.AccountView{}
	}
	shown := streams
	if c.QueryParam("streams") == "none" {
		shown = nil
	}
	problems, config := []string{}, (*ConfigState)(nil)
	if a.opts.Config != nil {
		state, found := a.opts.Config()
		if state.Refused == nil {
			state.Refused = []string{}
		}
		problems, config = append(problems, found...), &state
	}
	return sendJSON(c, statusJSON{
		Version:  a.opts.Version,
		Started:  controller.Time{Time: a.opts.Started},
		Now:      controller.Time{Time: time.Now()},
		Ready:    len(reasons) == 0,
		NotReady: reasons,
		Problems: problems,
		Config:   config,
		Platform: accounts,
		Savings:  sumSavings(streams),
		Count:    count,
		Streams:  streamsJSON(shown),
		Helpers:  a.opts.Controller.Helpers(),
	})
}

// reload has the configuration read again. A refusal lists the problems of the file, which contain
// no secret.
func (a *Admin) reload(c echo.Context) error {
	if !a.proven(c.Request()) {
		return notProven("have the configuration read again")
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	refused, err := a.opts.Reload(ctx)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		p := newProblem(http.StatusUnprocessableEntity,
			"the configuration was not reloaded; the one before stays in force", "")
		p.Problems = refused
		return p
	}
	return sendJSON(c, map[string]bool{"reloaded": true})
}

// Matcher returns a function that reports whether a pattern matches an id: * stands for any
// characters, ? for one. It compares a pattern with a slash with the whole id or the name, others
// with the name alone.
func Matcher(pattern string) func(id controller.StreamID) bool {
	text := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	expr := regexp.MustCompile("(?s)^" + text + "$")
	return func(id controller.StreamID) bool {
		_, name, _ := id.Split()
		return expr.MatchString(name) || strings.Contains(pattern, "/") && expr.MatchString(string(id))
	}
}

func (a *Admin) notReady(c echo.Context) []string {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyLimit)
	defer cancel()
	if reasons := a.opts.Controller.Ready(ctx); reasons != nil {
		return reasons
	}
	return []string{}
}

func (a *Admin) readyz(c echo.Context) error {
	reasons := a.notReady(c)
	status, body := http.StatusOK, map[string]any{"ready": true}
	if len(reasons) > 0 {
		status, body = http.StatusServiceUnavailable, map[string]any{"ready": false, "reasons": reasons}
	}
	noStore(c)
	return c.JSON(status, body)
}

func (a *Admin) healthz(c echo.Context) error {
	noStore(c)
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

func (a *Admin) events(c echo.Context) error {
	limit, err := whole(c, "limit", 1, 1000, 100)
	if err != nil {
		return err
	}
	before, err := whole(c, "before", 0, 1<<62, 0)
	if err != nil {
		return err
	}
	id, known, err := a.resolve(c.QueryParam("stream"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), callLimit)
	defer cancel()
	records, err := a.opts.Controller.Records(ctx, controller.RecordFilter{
		Stream: id, Type: c.QueryParam("type"), Limit: int(limit), Before: before,
	})
	if err != nil {
		return err
	}
	if len(records) == 0 && !known {
		return unknownStream(id, a.opts.Controller.Streams())
	}
	out := make([]eventJSON, len(records))
	for i, r := range records {
		out[i] = newEventJSON(r)
	}
	return sendJSON(c, out)
}

// resolve returns the id of a stream given by its id, or by its name if no other stream has it; ""
// means all. The journal also has streams that are not configured: known is false when a journal
// without hooks of the id means that there is no such stream.
func (a *Admin) resolve(given string) (id controller.StreamID, known bool, err error) {
	if _, ok := a.opts.Controller.Stream(controller.StreamID(given)); ok || given == "" {
		return controller.StreamID(given), true, nil
	}
	var named []string
	for _, s := range a.opts.Controller.Streams() {
		if s.Name == given {
			named = append(named, string(s.ID))
		}
	}
	switch len(named) {
	case 0:
		account, _, whole := controller.StreamID(given).Split()
		known = whole && slices.ContainsFunc(a.opts.Controller.Accounts(), func(v controller.AccountView) bool {
			return v.Account == account
		})
		return controller.StreamID(given), known, nil
	case 1:
		return controller.StreamID(named[0]), true, nil
	}
	return "", false, newProblem(http.StatusNotFound, quote(given)+" is a stream of several accounts",
		"say which one: "+strings.Join(named, ", "))
}
