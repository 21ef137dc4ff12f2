package web

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/oncue/oncue/controller"
)

// Metrics are the daemon's metrics for Prometheus. The Observe methods count what happens; the
// current state is read from the controller at each scrape, once Watch has been called.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	hooks       *prometheus.CounterVec
	hookSeconds prometheus.Histogram
	wakes       *prometheus.CounterVec
	toStart     prometheus.Histogram
	toLive      prometheus.Histogram
	waits       *prometheus.HistogramVec
	starts      *prometheus.CounterVec
	stops       *prometheus.CounterVec
	unconfirmed prometheus.Counter
	failures    prometheus.Counter
	polls       *prometheus.CounterVec
	pollErrors  *prometheus.CounterVec
	storeTime   *prometheus.HistogramVec
	storeErrors *prometheus.CounterVec
	reloadOK    prometheus.Gauge
	reloadAt    prometheus.Gauge
}

// Buckets in seconds: for answers of programs, and for waits of viewers.
var (
	quickBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	waitBuckets  = []float64{.1, .5, 1, 2, 3, 6, 10, 14, 30, 60, 120} // players try again at 0, 0.1, 2.2, 6.3, 14.4, 30.5
	liveBuckets  = []float64{.1, .25, .5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120}
)

// NewMetrics makes the metrics, including those of the Go runtime and the process.
func NewMetrics(version string, log *slog.Logger) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	alone := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		log:      log,
		hooks:    counter("oncue_hooks_total", "Hook deliveries by result.", "result"),
		wakes:    counter("oncue_wake_requests_total", "Requests of wake links by result.", "result"),
		hookSeconds: histogram("oncue_hook_duration_seconds",
			"From a hook's request line to its answer.", quickBuckets),
		toStart: histogram("oncue_attempt_to_start_seconds",
			"From a viewer's attempt to the encoder's start.", quickBuckets),
		toLive: histogram("oncue_attempt_to_live_seconds",
			"From a viewer's attempt until the stream is live.", liveBuckets),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oncue_stream_wait_seconds", Buckets: waitBuckets,
			Help: "How long those waited who asked for the stream: until its encoder's start, until it was live, until the " +
				"first viewer was in.",
		}, []string{"account", "stream", "until"}),
		starts:      counter("oncue_starts_total", "Encoder starts by the event that caused them.", "reason"),
		stops:       counter("oncue_stops_total", "Encoder stops by the event that caused them.", "reason"),
		unconfirmed: alone("oncue_stops_unconfirmed_total", "Stops that were not confirmed within stop_timeout."),
		failures:    alone("oncue_start_failures_total", "Runs that failed before or after going live."),
		polls:       counter("oncue_polls_total", "Polls of the platform's API.", "account"),
		pollErrors:  counter("oncue_poll_errors_total", "Polls of the platform's API that failed.", "account"),
		storeTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oncue_store_duration_seconds", Help: "Duration of the store's operations.", Buckets: quickBuckets,
		}, []string{"operation"}),
		storeErrors: counter("oncue_store_errors_total", "The store's operations that failed.", "operation"),
		reloadOK: gauge("oncue_config_last_reload_successful",
			"1 when the configuration was valid the last time it was read."),
		reloadAt: gauge("oncue_config_last_reload_success_timestamp_seconds",
			"When the configuration in use was read, Unix time."),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "oncue_build_info", Help: "1; the labels have the versions.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.ObserveReload(time.Now(), nil) // a daemon that runs has read a good file
	m.registry.MustRegister(
		m.hooks, m.hookSeconds, m.wakes, m.toStart, m.toLive, m.waits, m.starts, m.stops, m.unconfirmed, m.failures,
		m.polls, m.pollErrors, m.storeTime, m.storeErrors, m.reloadOK, m.reloadAt, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// Every series begins at 0, so that the first hook of a kind counts as an increase.
	for r := range refusals {
		m.hooks.WithLabelValues(string(r))
	}
	for _, v := range []controller.Verdict{
		controller.Accepted, controller.Duplicate, controller.Ignored, controller.Stale, controller.Quarantined,
	} {
		m.hooks.WithLabelValues(string(v))
	}
	return m
}

// Watch adds metrics of the streams and accounts as they are at the time of a scrape.
func (m *Metrics) Watch(c Controller) {
	m.registry.MustRegister(&viewCollector{controller: c, now: time.Now, patterns: map[string]*patternSums{}})
}

// Register adds another package's collector.
func (m *Metrics) Register(c prometheus.Collector) error { return m.registry.Register(c) }

// Handler serves GET /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 10,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
	})
}

// ObserveHook is for HookOptions.Observe.
func (m *Metrics) ObserveHook(result HookResult, took time.Duration) {
	m.hooks.WithLabelValues(string(result)).Inc()
	m.hookSeconds.Observe(took.Seconds())
}

// ObserveWake is for HookOptions.ObserveWake.
func (m *Metrics) ObserveWake(result WakeResult) { m.wakes.WithLabelValues(string(result)).Inc() }

// ObserveTransition counts starts, stops and failures. Its event is a hook's name or a word such as
// "timer", so the label has few values.
func (m *Metrics) ObserveTransition(t controller.Transition) {
	if t.From == t.To {
		return
	}
	switch t.To {
	case controller.PhaseStarting:
		m.starts.WithLabelValues(t.Event).Inc()
	case controller.PhaseStopping:
		m.stops.WithLabelValues(t.Event).Inc()
	case controller.PhaseBackoff, controller.PhaseFailed:
		m.failures.Inc()
	}
}

// ObserveAttemptToStart and ObserveAttemptToLive measure how long a viewer waits, from the hook's
// arrival.
func (m *Metrics) ObserveAttemptToStart(d time.Duration) { m.toStart.Observe(d.Seconds()) }

// ObserveAttemptToLive is called once for each run that a viewer's attempt began.
func (m *Metrics) ObserveAttemptToLive(d time.Duration) { m.toLive.Observe(d.Seconds()) }

// ObserveWait measures how long somebody waited who asked for a stream, or for one of a pattern.
func (m *Metrics) ObserveWait(account, stream string, until controller.WaitEnd, took time.Duration) {
	m.waits.WithLabelValues(label(account), label(stream), string(until)).Observe(took.Seconds())
}

// ObserveUnconfirmedStop counts a stop that nobody confirmed within stop_timeout.
func (m *Metrics) ObserveUnconfirmedStop() { m.unconfirmed.Inc() }

// ObservePoll counts one poll of the platform's API.
func (m *Metrics) ObservePoll(account string, err error) {
	m.polls.WithLabelValues(account).Inc()
	errs := m.pollErrors.WithLabelValues(account)
	if err != nil {
		errs.Inc()
	}
}

// ObserveStore measures one operation of the store, named by its method in lower case.
func (m *Metrics) ObserveStore(operation string, took time.Duration, err error) {
	m.storeTime.WithLabelValues(operation).Observe(took.Seconds())
	errs := m.storeErrors.WithLabelValues(operation)
	if err != nil {
		errs.Inc()
	}
}

// ObserveReload records the result of reading the configuration again.
func (m *Metrics) ObserveReload(at time.Time, err error) {
	if err != nil {
		m.reloadOK.Set(0)
		return
	}
	m.reloadOK.Set(1)
	m.reloadAt.Set(float64(at.UnixMilli()) / 1000)
}
