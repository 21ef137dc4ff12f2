package web

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oncue/oncue/controller"
)

// viewCollector turns the controller's views into metrics at each scrape. A stream has one series
// for its current phase, with value 1: so the number of series grows with the streams, not with
// streams times phases. Anybody can ask for any name that a pattern matches, so all streams of a
// pattern share its series, which count them.
type viewCollector struct {
	controller Controller
	now        func() time.Time

	mu       sync.Mutex
	patterns map[string]*patternSums // by the pattern's id, since the first scrape
	scraped  bool
}

// sums are the counters of a stream.
type sums struct{ run, watched, avoided, wasted, starts float64 }

func sumsOf(s *controller.StreamView) sums {
	return sums{s.Savings.RunS, s.Savings.WatchedS, s.Savings.AvoidedS, float64(s.Savings.Wasted), float64(s.Starts)}
}

func (s *sums) add(now, before sums) {
	s.run += max(now.run-before.run, 0)
	s.watched += max(now.watched-before.watched, 0)
	s.avoided += max(now.avoided-before.avoided, 0)
	s.wasted += max(now.wasted-before.wasted, 0)
	s.starts += max(now.starts-before.starts, 0)
}

// patternSums adds up the streams of a pattern, including those that no longer exist.
type patternSums struct {
	total sums
	seen  map[controller.StreamID]sums // of each stream, at the last scrape
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// streamDesc describes a metric of a stream, whose labels are its account and its name.
func streamDesc(name, help string) *prometheus.Desc { return desc(name, help, "account", "stream") }

// encoderDesc describes a metric of a stream's encoder.
func encoderDesc(name, help string) *prometheus.Desc {
	return desc(name, help, "account", "stream", "encoder")
}

var (
	descStreams = desc("oncue_streams", "Streams by phase.", "phase")
	descPhase   = desc("oncue_stream_phase",
		"1 for the current phase of the stream; for a pattern, how many of its streams are in the phase.",
		"account", "stream", "phase")
	descWanted      = streamDesc("oncue_stream_wanted", "1 while the stream is wanted.")
	descHeld        = streamDesc("oncue_stream_held", "1 while a person holds the stream on or off.")
	descUnconfirmed = streamDesc("oncue_stream_unconfirmed",
		"1 while only the encoder, and not the platform, says that the stream is live.")
	descViewers = streamDesc("oncue_stream_viewers",
		"Viewers as the platform last reported; no series while it has not been asked.")
	descRun     = streamDesc("oncue_stream_encoder_seconds_total", "Encoder-seconds run.")
	descWatched = streamDesc("oncue_stream_watched_seconds_total", "Seconds live with at least one viewer.")
	descAvoided = streamDesc("oncue_stream_avoided_seconds_total",
		"Encoder-seconds not run, compared with an encoder that is always on.")
	descWasted = streamDesc("oncue_stream_wasted_starts_total", "Runs that nobody joined.")
	descStarts = streamDesc("oncue_stream_starts_total", "Encoder starts.")

	descRestarts = encoderDesc("oncue_encoder_restarts", "Restarts since the encoder was last wanted after a pause.")
	descFaulty   = encoderDesc("oncue_encoder_faulty", "1 while the encoder has failed, stalls or does not answer.")
	descOnAir    = encoderDesc("oncue_encoder_on_air", "1 while viewers see what the encoder publishes.")
	descStandby  = encoderDesc("oncue_encoder_standby_ready",
		"1 while what the encoder keeps for a quicker start is ready; no series where nothing is kept.")
	descBitrate = encoderDesc("oncue_encoder_bitrate_bps", "Bits per second that the encoder reports to send.")
	descDropped = encoderDesc("oncue_encoder_dropped_frames", "Frames that the encoder dropped since its start.")

	descHelperOn     = desc("oncue_helper_on", "1 while the helper is on.", "helper")
	descHelperWanted = desc("oncue_helper_wanted", "1 while the helper is wanted.", "helper")
	descHelperFaulty = desc("oncue_helper_faulty", "1 while the helper has failed, or does not stop.", "helper")

	descHookAge = desc("oncue_last_hook_age_seconds",
		"Since the last verified hook of the account; no series before the first.", "account")
	descPollAge = desc("oncue_last_poll_age_seconds",
		"Since the platform was last asked; no series before the first time.", "account")
	descPollBad  = desc("oncue_poll_failing", "1 while polls of the platform's API fail.", "account")
	descDisabled = desc("oncue_webhook_disabled",
		"1 while the platform has disabled the account's webhook; no series while that is not known.", "account")
)

// Describe sends nothing: the series depend on the streams. The registry then checks each scrape
// instead.
func (*viewCollector) Describe(chan<- *prometheus.Desc) {}

func (v *viewCollector) Collect(out chan<- prometheus.Metric) {
	streams := v.controller.Streams()
	phases := map[controller.Phase]int{}
	for i := range streams {
		phases[streams[i].Phase]++
		if streams[i].Pattern == "" {
			collectStream(out, &streams[i])
		}
	}
	v.collectPatterns(out, streams)
	for _, phase := range controller.Phases {
		gauge(out, descStreams, float64(phases[phase]), string(phase))
	}
	for _, h := range v.controller.Helpers() {
		name := label(h.Name)
		gauge(out, descHelperOn, truth(h.State == controller.HelperOn), name)
		gauge(out, descHelperWanted, truth(h.Wanted), name)
		gauge(out, descHelperFaulty, truth(h.Error != nil), name)
	}
	now := v.now()
	for _, a := range v.controller.Accounts() {
		account := label(a.Account)
		if a.LastHook != nil {
			gauge(out, descHookAge, now.Sub(a.LastHook.Time).Seconds(), account)
		}
		if a.LastPoll != nil {
			gauge(out, descPollAge, now.Sub(a.LastPoll.Time).Seconds(), account)
		}
		gauge(out, descPollBad, truth(a.PollError != nil), account)
		if a.Webhook != nil {
			gauge(out, descDisabled, truth(a.Webhook.Disabled != nil), account)
		}
	}
}

func collectStream(out chan<- prometheus.Metric, s *controller.StreamView) {
	account, name := label(s.Account), label(s.Name)
	gauge(out, descPhase, 1, account, name, string(s.Phase))
	gauge(out, descWanted, truth(s.Wanted), account, name)
	gauge(out, descHeld, truth(s.Mode != controller.ModeAuto), account, name)
	gauge(out, descUnconfirmed, truth(s.Unconfirmed), account, name)
	if s.Viewers != nil {
		gauge(out, descViewers, float64(*s.Viewers), account, name)
	}
	collectSums(out, sumsOf(s), account, name)
	for _, e := range s.Encoders {
		labels := []string{account, name, label(e.Name)}
		gauge(out, descRestarts, float64(e.Restarts), labels...)
		gauge(out, descFaulty, truth(isFaulty(e)), labels...)
		gauge(out, descOnAir, truth(e.OnAir), labels...)
		if e.Standby != nil {
			gauge(out, descStandby, truth(e.Standby.Ready), labels...)
		}
		if h := e.Health; h != nil {
			if h.BitrateBPS != nil {
				gauge(out, descBitrate, *h.BitrateBPS, labels...)
			}
			if h.Dropped != nil {
				gauge(out, descDropped, float64(*h.Dropped), labels...)
			}
		}
	}
}

func collectSums(out chan<- prometheus.Metric, s sums, account, name string) {
	count(out, descRun, s.run, account, name)
	count(out, descWatched, s.watched, account, name)
	count(out, descAvoided, s.avoided, account, name)
	count(out, descWasted, s.wasted, account, name)
	count(out, descStarts, s.starts, account, name)
}

// collectPatterns makes one set of series for each pattern: how many of its streams are in a phase,
// wanted, held and so on, and the sums of their other values.
func (v *viewCollector) collectPatterns(out chan<- prometheus.Metric, streams []controller.StreamView) {
	of := map[string][]*controller.StreamView{}
	for i := range streams {
		if p := streams[i].Pattern; p != "" {
			of[p] = append(of[p], &streams[i])
		}
	}
	for pattern, total := range v.addUp(of) {
		account, name, _ := controller.StreamID(pattern).Split()
		account, name = label(account), label(name)
		collectPattern(out, of[pattern], account, name)
		collectSums(out, total, account, name)
	}
}

// addUp adds what has changed since the last scrape and returns the sums of all patterns.
func (v *viewCollector) addUp(of map[string][]*controller.StreamView) map[string]sums {
	v.mu.Lock()
	defer v.mu.Unlock()
	for pattern := range of {
		if v.patterns[pattern] == nil {
			v.patterns[pattern] = &patternSums{}
		}
	}
	totals := make(map[string]sums, len(v.patterns))
	for pattern, p := range v.patterns {
		seen := map[controller.StreamID]sums{}
		for _, s := range of[pattern] {
			now := sumsOf(s)
			if before, known := p.seen[s.ID]; known || v.scraped {
				p.total.add(now, before)
			}
			seen[s.ID] = now
		}
		p.seen = seen
		totals[pattern] = p.total
	}
	v.scraped = true
	return totals
}

func collectPattern(out chan<- prometheus.Metric, streams []*controller.StreamView, account, name string) {
	phases := map[controller.Phase]float64{}
	var wanted, held, unconfirmed, viewers float64
	for _, s := range streams {
		phases[s.Phase]++
		wanted += truth(s.Wanted)
		held += truth(s.Mode != controller.ModeAuto)
		unconfirmed += truth(s.Unconfirmed)
		if s.Viewers != nil {
			viewers += float64(*s.Viewers)
		}
	}
	for phase, n := range phases {
		gauge(out, descPhase, n, account, name, string(phase))
	}
	gauge(out, descWanted, wanted, account, name)
	gauge(out, descHeld, held, account, name)
	gauge(out, descUnconfirmed, unconfirmed, account, name)
	gauge(out, descViewers, viewers, account, name)
	faulty, restarts := map[string]float64{}, map[string]float64{}
	for _, s := range streams {
		for _, e := range s.Encoders {
			faulty[e.Name] += truth(isFaulty(e))
			restarts[e.Name] += float64(e.Restarts)
		}
	}
	for encoder := range faulty {
		gauge(out, descFaulty, faulty[encoder], account, name, label(encoder))
		gauge(out, descRestarts, restarts[encoder], account, name, label(encoder))
	}
}

func isFaulty(e controller.EncoderView) bool {
	return e.State == "failed" || e.State == "stalled" || e.State == "unknown"
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func count(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// label makes any name valid UTF-8, as labels must be.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
