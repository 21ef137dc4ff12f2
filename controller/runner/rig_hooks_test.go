package runner_test

import (
	"context"
	"fmt"
	"strings"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
)

// sent is a hook that the platform has just sent, and how the journal keeps it. No two are sent at
// the same time.
func (r *rig) sent(kind controller.HookKind, name string, feed ...string) (controller.Record, controller.Hook) {
	r.pass(time.Millisecond)
	now := time.Now().Add(time.Duration(r.wall.Load()))
	h := controller.Hook{Kind: kind, Account: "ACC", Name: name, At: controller.ByPlatform(now), Received: now}
	if len(feed) > 0 {
		h.Feed = controller.Feed{ID: feed[0], Started: controller.ByPlatform(now)}
	}
	return recordOf(h), h
}

// recordOf is how the journal keeps a hook.
func recordOf(h controller.Hook) controller.Record {
	return controller.Record{
		Received: h.Received, Sent: h.At.Time(), Account: h.Account, Stream: h.StreamID(), Event: string(h.Kind),
		Verdict: controller.Accepted,
		Body:    fmt.Appendf(nil, "%s %s [%s] %d", h.Kind, h.Name, h.Feed.ID, h.At.Time().UnixNano()),
	}
}

// parsed makes the hook of a record that sent made.
func parsed(rec controller.Record) (controller.Hook, bool) {
	h := controller.Hook{Kind: controller.HookKind(rec.Event), Account: rec.Account,
		At: controller.ByPlatform(rec.Sent), Received: rec.Received}
	words := strings.Fields(string(rec.Body))
	h.Name = words[1]
	if id := strings.Trim(words[2], "[]"); id != "" {
		h.Feed = controller.Feed{ID: id, Started: controller.ByPlatform(rec.Sent)}
	}
	return h, true
}

func (r *rig) hook(kind controller.HookKind, name string, feed ...string) {
	r.t.Helper()
	if _, duplicate, err := r.take(r.sent(kind, name, feed...)); duplicate || err != nil {
		r.t.Fatalf("%s: duplicate %v, error %v", kind, duplicate, err)
	}
}

func (r *rig) take(rec controller.Record, h controller.Hook) (int64, bool, error) {
	defer synctest.Wait()
	return r.c.Take(context.Background(), rec, h)
}
