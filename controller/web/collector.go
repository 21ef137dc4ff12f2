package web

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oncue/oncue/controller"
)

// viewCollector turns the controller's views into metrics at each scrape. A stream has one series for the phase that it is in, with value 1:
// the number of series grows with the streams, not with streams times phases.
type viewCollector struct {
	controller Controller
	now        func() time.Time
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The labels of a stream are its account and its name, those of an encoder also the encoder's name.
var (
	streamLabels  = []string{"account", "stream"}
	encoderLabels = []string{"account", "stream", "encoder"}

	descStreams     = desc("oncue_streams", "Streams by phase.", "phase")
	descPhase       = desc("oncue_stream_phase", "1 for the phase that the stream is in.", "account", "stream", "phase")
	descWanted      = desc("oncue_stream_wanted", "1 while the stream is wanted.", streamLabels...)
	descHeld        = desc("oncue_stream_held", "1 while a person holds the stream on or off.", streamLabels...)
	descUnconfirmed = desc("oncue_stream_unconfirmed", "1 while the stream is live by the encoder's word alone.", streamLabels...)
	descViewers     = desc("oncue_stream_viewers", "Viewers as the platform told last; no series while it has not been asked.", streamLabels...)
	descRun         = desc("oncue_stream_encoder_seconds_total", "Encoder-seconds run.", streamLabels...)
	descWatched     = desc("oncue_stream_watched_seconds_total", "Seconds live with a viewer in.", streamLabels...)
	descAvoided     = desc("oncue_stream_avoided_seconds_total", "Encoder-seconds not run, against always on.", streamLabels...)
	descWasted      = desc("oncue_stream_wasted_starts_total", "Runs that nobody joined.", streamLabels...)
	descStarts      = desc("oncue_stream_starts_total", "Encoder starts.", streamLabels...)

	descRestarts = desc("oncue_encoder_restarts", "Restarts since the encoder was last wanted anew.", encoderLabels...)
	descFaulty   = desc("oncue_encoder_faulty", "1 while the encoder is failed, stalled or cannot be asked.", encoderLabels...)
	descBitrate  = desc("oncue_encoder_bitrate_bps", "What the encoder says that it sends, bits per second.", encoderLabels...)
	descDropped  = desc("oncue_encoder_dropped_frames", "Frames that the encoder dropped since its start.", encoderLabels...)

	descHookAge  = desc("oncue_last_hook_age_seconds", "Since the last verified hook of the account; no series before the first.", "account")
	descPollAge  = desc("oncue_last_poll_age_seconds", "Since the platform was last asked; no series before the first.", "account")
	descPollBad  = desc("oncue_poll_failing", "1 while the platform cannot be asked.", "account")
	descDisabled = desc("oncue_webhook_disabled", "1 while the platform has disabled the account's webhook; no series while it is not known.", "account")
)

// Describe sends nothing: the series depend on the streams. The registry then checks each scrape instead.
func (*viewCollector) Describe(chan<- *prometheus.Desc) {}

func (v *viewCollector) Collect(out chan<- prometheus.Metric) {
	streams := v.controller.Streams()
	phases := map[controller.Phase]int{}
	for i := range streams {
		phases[streams[i].Phase]++
		collectStream(out, &streams[i])
	}
	for _, phase := range controller.Phases {
		gauge(out, descStreams, float64(phases[phase]), string(phase))
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
	count(out, descRun, s.Savings.RunS, account, name)
	count(out, descWatched, s.Savings.WatchedS, account, name)
	count(out, descAvoided, s.Savings.AvoidedS, account, name)
	count(out, descWasted, float64(s.Savings.Wasted), account, name)
	count(out, descStarts, float64(s.Starts), account, name)
	for _, e := range s.Encoders {
		labels := []string{account, name, label(e.Name)}
		gauge(out, descRestarts, float64(e.Restarts), labels...)
		gauge(out, descFaulty, truth(e.State == "failed" || e.State == "stalled" || e.State == "unknown"), labels...)
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

// label makes any name fit for a label, which must be UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
