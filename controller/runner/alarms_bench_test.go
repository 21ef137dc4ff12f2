package runner

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkAlarms lets 100,000 deadlines come due at once, and measures how late the last of them
// rings; medians count. Beside it stand as many timers of the runtime.
func BenchmarkAlarms(b *testing.B) {
	const count = 100_000
	streams := make([]*stream, count)
	for i := range streams {
		streams[i] = &stream{}
	}
	// lead is how long before their time all of them are set.
	lead := 500 * time.Millisecond
	b.Run("heap", func(b *testing.B) {
		var late, setting []time.Duration
		for b.Loop() {
			var rung atomic.Int64
			done := make(chan time.Time, 1)
			a := newAlarms(time.Now, func(*stream) {
				if rung.Add(1) == count {
					done <- time.Now()
				}
			})
			begun := time.Now()
			due := begun.Add(lead)
			for _, s := range streams {
				a.set(s, due)
			}
			setting = append(setting, time.Since(begun))
			late = append(late, (<-done).Sub(due))
			a.close()
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(middle(setting).Nanoseconds())/count, "ns-to-set")
		b.ReportMetric(float64(middle(late).Microseconds())/1000, "ms-late")
	})
	b.Run("timers", func(b *testing.B) {
		var late []time.Duration
		for b.Loop() {
			var rung atomic.Int64
			done := make(chan time.Time, 1)
			due := time.Now().Add(lead)
			for range streams {
				time.AfterFunc(time.Until(due), func() {
					if rung.Add(1) == count {
						done <- time.Now()
					}
				})
			}
			late = append(late, (<-done).Sub(due))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(middle(late).Microseconds())/1000, "ms-late")
	})
}

func middle(v []time.Duration) time.Duration {
	slices.Sort(v)
	return v[len(v)/2]
}
