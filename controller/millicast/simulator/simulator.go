package simulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// Simulator is a running platform with one account. All methods may be called from anywhere.
type Simulator struct {
	set      Settings
	hooks    *hooks
	ingest   *rtmp.Server
	api      *http.Server
	rtmpAddr string
	apiAddr  string
	ctx      context.Context // ends at Close
	cancel   context.CancelFunc
	work     sync.WaitGroup // servers, API requests, thumbnails

	apiFaults apiFaults
	changed   signal
	camera    sync.Mutex // held while a picture is made; locked before mu

	mu        sync.Mutex // guards the rest; locked before hooks.mu and feed.mu
	closed    bool
	behaviour Behaviour
	streams   map[string]*stream
	refusals  map[string]string // by stream name, "" for all
	tokens    tokens
	crowd     crowd

	recordFiles int // that were begun: the last id
}

// Start starts a platform. Close ends it, and so does the end of ctx.
func Start(ctx context.Context, set Settings) (*Simulator, error) {
	if err := set.fill(); err != nil {
		return nil, err
	}
	s := &Simulator{
		set:       set,
		behaviour: set.Behaviour,
		streams:   make(map[string]*stream),
		refusals:  make(map[string]string),
	}
	if set.Token.Set() {
		if _, err := s.AddToken(firstToken(set.Token)); err != nil {
			return nil, err
		}
	}
	s.apiFaults.now, s.apiFaults.random = set.API, rand.New(rand.NewPCG(set.Seed, 2))
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.hooks = newHooks(s.ctx, set, s.changed.notify)
	s.ingest = rtmp.NewServer(rtmp.Settings{
		Handler: ingest{s}, Silence: set.Silence, SlowAcks: set.SlowAcks, Log: set.Log,
	})
	if set.WebhookURL != "" {
		first := Webhook{
			URL: set.WebhookURL, Secret: set.Secret, Feeds: true, Viewers: true, Thumbnails: set.Thumbnails,
		}
		if _, err := s.hooks.add(first); err != nil {
			s.Close()
			return nil, fmt.Errorf("simulator: %w", err)
		}
	}
	if !set.InMemory {
		if err := s.listen(); err != nil {
			s.Close()
			return nil, err
		}
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { s.Close() })
		context.AfterFunc(s.ctx, func() { stop() })
	}
	return s, nil
}

func (s *Simulator) listen() error {
	ingest, err := net.Listen("tcp", s.set.RTMPAddr)
	if err != nil {
		return fmt.Errorf("simulator: listen for publishers: %w", err)
	}
	api, err := net.Listen("tcp", s.set.APIAddr)
	if err != nil {
		ingest.Close()
		return fmt.Errorf("simulator: listen for the API: %w", err)
	}
	s.rtmpAddr, s.apiAddr = ingest.Addr().String(), api.Addr().String()
	s.api = &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	s.work.Go(func() {
		if err := s.ingest.Serve(ingest); !errors.Is(err, rtmp.ErrClosed) {
			s.set.Log.Error("simulator: the ingest ended", "error", err)
		}
	})
	s.work.Go(func() {
		if err := s.api.Serve(api); !errors.Is(err, http.ErrServerClosed) {
			s.set.Log.Error("simulator: the API ended", "error", err)
		}
	})
	return nil
}

// Close ends everything at once, without hooks about it, cancels deliveries under way and waits for
// all goroutines. It must not be called from a callback of the settings.
func (s *Simulator) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, st := range s.streams {
		st.stopTimers()
	}
	s.mu.Unlock()
	s.cancel()
	if s.api != nil {
		s.api.Close()
	}
	s.ingest.Close()
	s.work.Wait()
	s.hooks.close()
	return nil
}

// Account returns the account's id.
func (s *Simulator) Account() string { return s.set.Account }

// Secret returns the webhook secret of the settings, base64. Webhooks made or renewed through the
// API have their own.
func (s *Simulator) Secret() secret.Value { return s.set.Secret }

// APISecret returns the Bearer token of the REST API.
func (s *Simulator) APISecret() secret.Value { return s.set.APISecret }

// APIURL returns the base of the REST API, without a slash at the end.
func (s *Simulator) APIURL() string { return "http://" + s.apiAddr }

// RTMPURL returns where an encoder publishes a stream, with the token of the settings. For a device
// that wants server and key separately, cut it after "/v2/pub".
func (s *Simulator) RTMPURL(name string) string {
	u := "rtmp://" + s.rtmpAddr + "/v2/pub/" + url.PathEscape(name)
	if s.set.Token.Set() {
		u += "?token=" + url.QueryEscape(s.set.Token.Reveal())
	}
	return u
}

// RTMPAddr returns the ingest's address, host:port.
func (s *Simulator) RTMPAddr() string { return s.rtmpAddr }

// SetBehaviour changes the behaviour from now on.
func (s *Simulator) SetBehaviour(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.whole = b.WholeFilter
}

// Wait returns nil once condition is true, or ctx's error. It calls condition again whenever
// something happens on the platform, and every 50 ms for things that nothing announces, such as
// frame counts. condition may call any method of the simulator.
func (s *Simulator) Wait(ctx context.Context, condition func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := s.changed.next()
		if condition() {
			return nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// now is the platform's clock. Called with mu held.
func (s *Simulator) now() time.Time { return time.Now().Add(s.behaviour.Skew) }

// scaled converts a span of platform time to real time.
func (s *Simulator) scaled(d time.Duration) time.Duration { return scaled(d, s.set.Scale) }

// scaled never rounds a span down to 0: such a timer would fire before the code that set it is
// done.
func scaled(d time.Duration, scale float64) time.Duration {
	return max(time.Duration(float64(d)/scale), min(d, 1))
}

// after runs f with mu held after a span of platform time, unless the simulator is closed or the
// timer stopped by then. Called with mu held.
func (s *Simulator) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(s.scaled(d), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			f()
		}
	})
}

// signal tells waiters that something happened.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns a channel that is closed at the next notify.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
