package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people is a sender that records what it was given, and when.
type people struct {
	takes func(ctx context.Context, try int) error // nil: everything at once

	mu    sync.Mutex
	begun time.Time
	tries []try
}

type try struct {
	After time.Duration
	Text  string
	id    string
}

func (p *people) send(ctx context.Context, n controller.Notice, id string) error {
	p.mu.Lock()
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	p.tries = append(p.tries, try{time.Since(p.begun), n.Text, id})
	count := len(p.tries)
	p.mu.Unlock()
	if p.takes == nil {
		return nil
	}
	return p.takes(ctx, count)
}

func (p *people) texts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var texts []string
	for _, t := range p.tries {
		texts = append(texts, t.Text)
	}
	return texts
}

func (p *people) wait() []try {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tries)
}

// logText is a log that may be read while it is written.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// notifierOf makes a notifier with a recipient for each sender; it opens no connection.
func notifierOf(t *testing.T, to ...*people) (*Notifier, *logText) {
	t.Helper()
	log := &logText{}
	n := New(slog.New(slog.NewTextHandler(log, nil)))
	list := make([]Recipient, len(to))
	for i := range to {
		list[i].URL = secret.New(fmt.Sprintf("https://recipient-%d.example.com/", i))
	}
	if err := n.Set(list); err != nil {
		t.Fatal(err)
	}
	for i, p := range to {
		n.outs[i].sender = p
	}
	t.Cleanup(n.Close)
	return n, log
}

// about is the nth notice; no two are alike.
func about(i int) controller.Notice {
	id := controller.JoinID("ACC", fmt.Sprint(i))
	return controller.Notice{Kind: "failed", Account: "ACC", Stream: id, Text: fmt.Sprint(i)}
}

var errNotNow = errors.New("not now")

// TestTries: a notice is tried five times, 1, 4, 16 and 64 s apart, always as the same message.
// Then the next notice is sent.
func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &people{takes: func(_ context.Context, try int) error {
			if try <= 6 {
				return errNotNow
			}
			return nil
		}}
		n, log := notifierOf(t, p)
		n.Send(about(1))
		n.Send(about(2))
		time.Sleep(10 * time.Minute)
		got := p.wait()
		want := []try{{0, "1", ""}, {1 * time.Second, "1", ""}, {5 * time.Second, "1", ""}, {21 * time.Second, "1", ""},
			{85 * time.Second, "1", ""},
			{85 * time.Second, "2", ""}, {86 * time.Second, "2", ""}}
		if diff := cmp.Diff(want, got,
			cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".id" }, cmp.Ignore())); diff != "" {
			t.Errorf("tries (-want +got):\n%s", diff)
		}
		ids := map[string]string{}
		for _, g := range got {
			if seen, ok := ids[g.Text]; ok && seen != g.id || !strings.HasPrefix(g.id, "msg_") {
				t.Errorf("notice %s was sent as %q and as %q", g.Text, seen, g.id)
			}
			ids[g.Text] = g.id
		}
		if ids["1"] == ids["2"] {
			t.Error("two notices are one message")
		}
		if said := strings.Count(log.String(), "a notice is given up"); said != 1 {
			t.Errorf("the log says %d times that a notice is given up:\n%s", said, log)
		}
	})
}

// TestEndlessTry: an attempt ends after 15 s when the recipient never answers, and is repeated as
// after any error.
func TestEndlessTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &people{takes: func(ctx context.Context, try int) error {
			if try == 3 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		n, _ := notifierOf(t, p)
		n.Send(about(1))
		time.Sleep(10 * time.Minute)
		got := p.wait()
		if len(got) != 3 || got[1].After != 16*time.Second || got[2].After != 35*time.Second {
			t.Errorf("tried at %v, and should be at 0, 16 and 35 s", got)
		}
	})
}

// TestSlowRecipient: a recipient that hangs delays neither the caller nor the other recipients. It
// misses notices that do not fit into its queue, and the log says so.
func TestSlowRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		slow := &people{takes: func(context.Context, int) error { <-hangs; return nil }} // it ignores its time limit
		quick := &people{}
		n, log := notifierOf(t, slow, quick)
		const sent = 200
		begun := time.Now()
		for i := range sent {
			n.Send(about(i))
			synctest.Wait() // the quick one gets it
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("sending took %s", took)
		}
		if got := len(quick.wait()); got != sent {
			t.Errorf("the quick recipient got %d notices of %d", got, sent)
		}
		const missed = sent - queueLength - 1 // one is being sent
		if got := strings.Count(log.String(), "it misses one"); got != missed {
			t.Errorf("the log tells of %d missed notices, and should of %d", got, missed)
		}
		close(hangs)
		got := slow.wait()
		if len(got) != queueLength+1 || got[queueLength].Text != fmt.Sprint(queueLength) {
			t.Errorf("the slow recipient got %d notices, and should have the first %d", len(got), queueLength+1)
		}
	})
}

// TestClose: Close ends running deliveries, also a long pause, and does nothing a second time.
// Nothing is sent afterwards.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &people{takes: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		fails := &people{takes: func(context.Context, int) error { return errNotNow }}
		n, log := notifierOf(t, hangs, fails)
		n.Send(about(1))
		time.Sleep(6 * time.Second) // the second waits for 16 s now
		begun := time.Now()
		n.Close()
		if took := time.Since(begun); took != 0 {
			t.Errorf("closing took %s", took)
		}
		n.Close()
		n.Send(about(2))
		if err := n.Set([]Recipient{{URL: secret.New("https://late.example.com")}}); err != nil || len(n.outs) != 2 {
			t.Errorf("a recipient was taken after the end: %v", err)
		}
		time.Sleep(time.Hour)
		if got, also := len(hangs.wait()), len(fails.wait()); got != 1 || also != 3 {
			t.Errorf("after the end there were %d and %d tries, and should be 1 and 3", got, also)
		}
		if strings.Contains(log.String(), "given up") ||
			strings.Contains(log.String(), "try=1 error=\"context canceled\"") {
			t.Errorf("the end is told as a trouble of the recipient:\n%s", log)
		}
	})
}

// TestToldOnce: which of a day's notices reach a recipient that wants failed and recovered.
func TestToldOnce(t *testing.T) {
	type row struct {
		after               time.Duration
		kind, account, what string
		told                bool
	}
	rows := []row{
		{0, "failed", "ACC", "ACC/a", true},
		{1 * time.Minute, "failed", "ACC", "ACC/a", false},
		{0, "failed", "ACC", "ACC/b", true},
		{0, "failed", "XYZ", "XYZ/a", true},
		{0, "max_uptime", "ACC", "ACC/a", false}, // not wanted
		{9 * time.Minute, "failed", "ACC", "ACC/a", true},
		{1 * time.Minute, "recovered", "ACC", "ACC/a", true},
		{0, "recovered", "ACC", "ACC/a", false},
		{1 * time.Minute, "failed", "ACC", "ACC/a", true}, // again
		{0, "recovered", "ACC", "ACC/a", true},
		{0, "failed", "ACC", "", true},
	}
	synctest.Test(t, func(t *testing.T) {
		p := &people{}
		n, _ := notifierOf(t, p)
		n.outs[0].On = []string{"failed", "recovered"}
		var want []string
		for i, r := range rows {
			time.Sleep(r.after)
			text := fmt.Sprintf("%d: %s %s", i, r.kind, r.what)
			n.Send(controller.Notice{Kind: r.kind, Account: r.account, Stream: controller.StreamID(r.what), Text: text})
			synctest.Wait()
			if r.told {
				want = append(want, text)
			}
		}
		if diff := cmp.Diff(want, p.texts()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		time.Sleep(quiet)
		n.Send(about(1))
		if len(n.sent) != 1 {
			t.Errorf("%d old notices are remembered", len(n.sent)-1)
		}
	})
}

// TestSet: a reload keeps the queues of recipients that stay and ends those that are removed. A bad
// list changes nothing.
func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		may := make(chan struct{})
		var cut error
		stays := &people{takes: func(context.Context, int) error { <-may; return nil }}
		goes := &people{takes: func(ctx context.Context, _ int) error { <-ctx.Done(); cut = ctx.Err(); return cut }}
		n, _ := notifierOf(t, stays, goes)
		first, second := n.outs[0].Recipient, n.outs[1].Recipient
		for i := range 3 {
			n.Send(about(i))
		}
		synctest.Wait()
		err := n.Set([]Recipient{{URL: secret.New("https://new.example.com/")},
			{URL: secret.New("http://canary.example.com/")}})
		if err == nil || err.Error() != "notify[1].url: plain http is allowed to this host only; write https" {
			t.Errorf("a bad recipient: %v", err)
		}
		synctest.Wait()
		if len(n.outs) != 2 || cut != nil {
			t.Fatalf("a bad list changed something: %d recipients, %v", len(n.outs), cut)
		}
		if err := n.Set([]Recipient{{URL: secret.New("https://new.example.com/"), On: []string{"none"}},
			first}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !errors.Is(cut, context.Canceled) {
			t.Errorf("what is sent to a recipient that is gone: %v", cut)
		}
		close(may)
		if got := stays.wait(); len(got) != 3 {
			t.Errorf("the recipient that stays got %d notices of 3", len(got))
		}
		if got := goes.wait(); len(got) != 1 {
			t.Errorf("the recipient that is gone got %d notices", len(got))
		}
		if err := n.Set([]Recipient{second, first, first}); err != nil || len(n.outs) != 3 || n.outs[1] == n.outs[2] {
			t.Errorf("the same recipient twice: %d recipients, %v", len(n.outs), err)
		}
	})
}
