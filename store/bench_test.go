package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/controller"
)

// appender is one way to make a hook durable.
type appender func(controller.Record) error

// BenchmarkAppend compares the store with what bounds it from both sides: a bare file to which
// whole groups are appended and synced, which can do nothing else, and one transaction for each
// hook. They take turns in short rounds, for disks have moods; the medians count.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{8, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := open(b, b.TempDir())
			contestants := []*contestant{
				{name: "floor", add: newFloor(b)},
				{name: "store", add: func(r controller.Record) error {
					_, _, err := s.Append(context.Background(), r)
					return err
				}},
				{name: "single", add: newSingle(b)},
			}
			n := 0
			for _, c := range contestants {
				c.round(b, callers, &n)
				c.rates, c.waits = nil, nil // warm now
			}
			for b.Loop() {
				for _, c := range contestants {
					c.round(b, callers, &n)
				}
			}
			b.ReportMetric(0, "ns/op")
			for _, c := range contestants {
				b.ReportMetric(median(c.rates), c.name+"/s")
			}
			slices.Sort(contestants[1].waits)
			waits := contestants[1].waits
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(median(contestants[1].rates)/median(contestants[0].rates), "of-floor")
			b.ReportMetric(median(contestants[1].rates)/median(contestants[2].rates), "times-single")
		})
	}
}

type contestant struct {
	name  string
	add   appender
	rates []float64
	waits []time.Duration
}

// round has so many callers store hooks for a quarter of a second, as fast as they are answered.
func (c *contestant) round(b *testing.B, callers int, n *int) {
	const length = 250 * time.Millisecond
	waits := make([][]time.Duration, callers)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range callers {
		from := *n + i*1_000_000
		wg.Go(func() {
			for now := time.Now(); now.Sub(start) < length; {
				if err := c.add(hook(from)); err != nil {
					b.Error(err)
					return
				}
				from++
				then := now
				now = time.Now()
				waits[i] = append(waits[i], now.Sub(then))
			}
		})
	}
	wg.Wait()
	*n += callers * 1_000_000
	all := slices.Concat(waits...)
	c.rates = append(c.rates, float64(len(all))/time.Since(start).Seconds())
	c.waits = append(c.waits, all...)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// newFloor returns the physical limit of a durable answer: one write and one fdatasync for all that
// wait.
func newFloor(b *testing.B) appender {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	type group struct {
		data []byte
		done chan struct{}
		err  error
	}
	var mu sync.Mutex
	var gathering *group
	wake := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	go func() {
		for {
			select {
			case <-wake:
			case <-ctx.Done():
				return
			}
			mu.Lock()
			g := gathering
			gathering = nil
			mu.Unlock()
			if _, g.err = f.Write(g.data); g.err == nil {
				g.err = unix.Fdatasync(int(f.Fd()))
			}
			close(g.done)
		}
	}()
	return func(r controller.Record) error {
		mu.Lock()
		first := gathering == nil
		if first {
			gathering = &group{done: make(chan struct{})}
		}
		g := gathering
		g.data = append(g.data, r.Account...)
		g.data = append(g.data, r.Stream...)
		g.data = append(g.data, r.Type...)
		g.data = append(g.data, r.Event...)
		g.data = append(g.data, r.Verdict...)
		g.data = append(g.data, r.Sum[:]...)
		g.data = append(g.data, r.Body...)
		mu.Unlock()
		if first {
			wake <- struct{}{}
		}
		<-g.done
		return g.err
	}
}

// newSingle returns the plain way: each hook in a transaction of its own, on the same handles.
func newSingle(b *testing.B) appender {
	s := open(b, b.TempDir())
	s.writer.Close()
	<-s.stopped
	query := insertHooks(1)
	var mu sync.Mutex
	var seq int64
	return func(r controller.Record) error {
		mu.Lock()
		defer mu.Unlock()
		seq++
		values := appendRow(nil, row{seq, &r})
		args := make([]any, len(values))
		for i := range values {
			args[i] = values[i]
		}
		_, err := s.handles.Load().rw.Exec(query, args...)
		return err
	}
}
