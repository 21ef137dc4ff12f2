package rtmp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestThePlaypathMayComeAsAnOption(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	_, address := serve(t, Settings{Handler: r})
	enc := ffmpeg(t, 1, "-rtmp_playpath", "lobby?token=s3cret", "-rtmp_app", "v2/pub", "rtmp://"+address+"/v2/pub")
	if err := enc.wait(t); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, enc.stderr.String())
	}
	if p := r.published[0]; p.Name != "lobby" || p.Token.Reveal() != "s3cret" {
		t.Errorf("publisher = %q, token %q", p.Name, p.Token.Reveal())
	}
}

func TestRefusalIsShownInOurWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, url, want string }{
		{"token", "/v2/pub/lobby?token=wrong", "wrong publishing token"},
		{"application", "/live/x/lobby?token=right", `no application "live/x" here, publish to /v2/pub`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRecorder()
			r.refuse = func(p *Publisher) error {
				if !p.Token.Equal("right") {
					return errors.New("wrong publishing token")
				}
				return nil
			}
			_, address := serve(t, Settings{Handler: r})
			enc := ffmpeg(t, 0, "rtmp://"+address+c.url)
			if err := enc.wait(t); err == nil {
				t.Error("ffmpeg ended well")
			}
			if !strings.Contains(enc.stderr.String(), "Server error: "+c.want) {
				t.Errorf("ffmpeg's stderr does not say %q:\n%s", c.want, enc.stderr.String())
			}
			if len(r.published) != 0 {
				t.Error("the publisher was taken")
			}
		})
	}
}

// started publishes for ever and waits for the first picture.
func started(t *testing.T, r *recorder, address string) (*publisher, *Publisher) {
	t.Helper()
	enc := ffmpeg(t, 0, "rtmp://"+address+"/v2/pub/lobby?token=s3cret")
	r.until(t, "the first picture", func() bool {
		return len(r.published) == 1 && r.counts[r.published[0]].video > 0
	})
	return enc, r.published[0]
}

func TestKilledPublisherIsGone(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	_, address := serve(t, Settings{Handler: r})
	enc, p := started(t, r, address)
	enc.cmd.Process.Kill()
	r.until(t, "the end", func() bool { return len(r.ended) == 1 })
	if cause := r.ended[p]; !errors.Is(cause, ErrGone) && !errors.Is(cause, syscall.ECONNRESET) {
		t.Errorf("cause = %v, want ErrGone", cause)
	}
}

func TestStoppedPublisherIsSilent(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	_, address := serve(t, Settings{Handler: r, Silence: 4 * time.Second})
	enc, p := started(t, r, address)
	enc.cmd.Process.Signal(syscall.SIGSTOP)
	r.until(t, "the end", func() bool { return len(r.ended) == 1 })
	if cause := r.ended[p]; !errors.Is(cause, ErrSilent) {
		t.Errorf("cause = %v, want ErrSilent", cause)
	}
}

func TestFrozenPublisherEndsButStaysConnected(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	s, address := serve(t, Settings{Handler: r, Silence: 4 * time.Second})
	enc, p := started(t, r, address)
	p.Freeze()
	r.until(t, "the end", func() bool { return len(r.ended) == 1 })
	if cause := r.ended[p]; !errors.Is(cause, ErrSilent) {
		t.Errorf("cause = %v, want ErrSilent", cause)
	}
	select {
	case <-enc.done:
		t.Fatalf("ffmpeg noticed: %v\n%s", enc.err, enc.stderr.String())
	default:
	}
	if !p.Open() || s.Open() != 1 {
		t.Error("the connection of a frozen publisher is closed")
	}
	enc.cmd.Process.Kill()
	<-enc.done
	p.Thaw()
	waitFor(t, "the connection to end", func() bool { return !p.Open() })
}

func TestDroppedPublisherEnds(t *testing.T) {
	t.Parallel()
	for _, reset := range []bool{true, false} {
		t.Run(fmt.Sprintf("reset=%v", reset), func(t *testing.T) {
			t.Parallel()
			r := newRecorder()
			_, address := serve(t, Settings{Handler: r})
			enc, p := started(t, r, address)
			cause := errors.New("by hand")
			p.Drop(reset, cause)
			if got := r.ended[p]; got != cause {
				t.Errorf("cause = %v, want %v", got, cause)
			}
			enc.wait(t) // a broken output makes some builds of ffmpeg exit with 0
		})
	}
}

func TestMutedServerAcceptsAndSaysNothing(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	s, address := serve(t, Settings{Handler: r})
	s.Mute(true)
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write(make([]byte, 1+handshakeSize)); err != nil {
		t.Fatal(err)
	}
	nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == io.EOF {
		t.Fatalf("read %d bytes, %v from a muted server", n, err)
	}
	enc := ffmpeg(t, 1, "rtmp://"+address+"/v2/pub/lobby?token=s3cret")
	waitFor(t, "ffmpeg to connect", func() bool { return s.Connections() == 2 })
	s.Mute(false)
	if err := enc.wait(t); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, enc.stderr.String())
	}
}

// TestEightPublishers wants every picture of each of them.
func TestEightPublishers(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	s, address := serve(t, Settings{Handler: r})
	var encoders []*publisher
	for i := range 8 {
		encoders = append(encoders, ffmpeg(t, 2, fmt.Sprintf("rtmp://%s/v2/pub/cam-%d?token=s3cret", address, i)))
	}
	for _, enc := range encoders {
		if err := enc.wait(t); err != nil {
			t.Errorf("ffmpeg: %v\n%s", err, enc.stderr.String())
		}
	}
	r.until(t, "all goodbyes", func() bool { return len(r.ended) == 8 })
	for _, p := range r.published {
		if c := r.counts[p]; c.video != 50 {
			t.Errorf("%s: %d pictures, want 50", p.Name, c.video)
		}
	}
	if got := s.Connections(); got != 8 {
		t.Errorf("%d connections, want 8", got)
	}
}

// waitFor polls a condition, for nothing announces it.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}
