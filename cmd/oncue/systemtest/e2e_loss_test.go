package systemtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

var sessions = flag.Int("e2e.sessions", 100, "viewer sessions of the lost hooks in TestEndToEnd")

// testLostHooks lets viewers come and go while 30 % of the hooks get lost and some come late, twice
// or out of order, with polling on. No encoder may run long without a viewer, and no viewer may
// wait for long.
func testLostHooks(t *testing.T, s *site) {
	const (
		streams = 20
		scale   = 60 // attempts come every 10 s / 60, NoActiveViewers after 1 s
		idle    = 300 * time.Millisecond
	)
	var lost lostWelcomes
	sim := s.platform(simulator.Settings{
		Scale: scale, Seed: 7, OnDelivery: lost.note,
		Hooks: simulator.HookFaults{Drop: 0.3, Duplicate: 0.1, Reorder: 0.1, DelayMax: 5 * time.Second},
	})
	var boxes strings.Builder
	for n := range streams {
		fmt.Fprintf(&boxes, "  s%d: {encoder: box%d}\n", n, n)
	}
	rest := "defaults: {idle_timeout: 300ms, attempt_hold: 1s, join_timeout: 3s, start_timeout: 5s, stop_timeout: " +
		"2s, restart: {initial: 100ms, max: 1s}}\nencoders:\n"
	for n := range streams {
		rest += fmt.Sprintf("  box%d: {fake: {}}\n", n)
	}
	s.configure(rest + "streams:\n" + boxes.String())
	s.start()
	end := make(chan struct{})
	var stages sync.WaitGroup
	for n := range streams {
		stages.Go(func() { s.publish(fmt.Sprintf("box%d", n), fmt.Sprintf("s%d", n), end) })
	}
	var mu sync.Mutex
	var waits, tails []time.Duration
	many(streams, func(n int) {
		name := fmt.Sprintf("s%d", n)
		random := rand.New(rand.NewPCG(uint64(n), 3))
		for range *sessions / streams {
			came := time.Now()
			viewer, joined := sim.Join(name), came
			await(t, "a viewer of "+name+" gets in", func() bool {
				if viewer.State() == simulator.Inactive && lost.since(name, joined) {
					viewer.Leave()
					joined = time.Now()
					viewer = sim.Join(name)
				}
				return viewer.State() == simulator.Watching
			})
			wait := time.Since(came)
			stay := time.After(time.Duration(random.IntN(1000)) * time.Millisecond)
			<-stay
			viewer.Leave()
			left := time.Now()
			var tail time.Duration
			if random.IntN(3) > 0 { // else the next one comes at once
				await(t, name+" is off", func() bool { return !s.box(fmt.Sprintf("box%d", n)).on() })
				tail = time.Since(left)
			}
			mu.Lock()
			waits, tails = append(waits, wait), append(tails, tail)
			mu.Unlock()
		}
		await(t, name+" is off at the end", func() bool {
			v, ok := s.stream(name)
			return ok && v.Phase == controller.PhaseIdle && !v.Wanted && !s.box(fmt.Sprintf("box%d", n)).on()
		})
	})
	close(end)
	stages.Wait()
	// This may take a poll (1 s) and its answer, the idle time-out, and what a busy host adds.
	// Without the poll it would never end.
	const slack = 15 * time.Second
	longestTail, longestWait := slowest(tails), slowest(waits)
	c := sim.Counts()
	t.Logf("%d sessions, %d hooks delivered, %d lost, %d twice, %d out of order: longest wait for a picture %v, "+
		"longest run without a viewer %v",
		len(waits), c.Answered, c.Dropped, c.Duplicated, c.Reordered, longestWait.Round(time.Millisecond),
		longestTail.Round(time.Millisecond))
	if limit := time.Second + idle + slack; longestTail > limit {
		t.Errorf("an encoder ran %v after its last viewer had gone, want at most %v", longestTail, limit)
	}
}

// lostWelcomes are the streams whose FirstViewerConnection got lost. A viewer who gets in at the
// moment when an encoder stops sits in the dark and tries no more. Without that hook nobody can
// know of the viewer, who loads the page again.
type lostWelcomes struct{ streams sync.Map }

func (l *lostWelcomes) note(d simulator.Delivery) {
	if d.Event == string(controller.HookFirstViewer) && d.Fate == simulator.FateDropped {
		l.streams.Store(d.Stream, time.Now())
	}
}

func (l *lostWelcomes) since(stream string, came time.Time) bool {
	at, ok := l.streams.Load(stream)
	return ok && at.(time.Time).After(came)
}

// publish gives the platform a feed while a fake encoder is on.
func (s *site) publish(box, stream string, end <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	feed := ""
	for {
		select {
		case <-tick.C:
		case <-end:
			return
		}
		switch on := s.box(box).on(); {
		case on && feed == "":
			feed = s.sim.OpenFeed(stream, "", nil)
		case !on && feed != "":
			s.sim.CloseFeed(feed)
			feed = ""
		}
	}
}

func slowest(list []time.Duration) (d time.Duration) {
	for _, one := range list {
		d = max(d, one)
	}
	return d
}
