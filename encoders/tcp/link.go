package tcp

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// link is one connection to the box.
type link struct {
	// set at construction
	address  string
	conn     net.Conn
	plan     *plan
	began    time.Time
	heard    func(message string, changed bool) // what the box says by itself, and whether it changes a fact
	lost     func(l *link)                      // the box has ended the connection
	captured map[string]string                  // of the connect exchanges; owned by who has the turn
	ended    chan struct{}                      // closed when the reader is done

	mu      sync.Mutex
	cut     cutter
	facts   map[string]string
	asking  bool          // a call waits for messages
	waiting []string      // for that call
	fresh   chan struct{} // holds a token when waiting or err has changed
	err     error         // why it is over
}

// probes ends a connection within half a minute of the box's losing its power.
var probes = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// dial connects to the box. The caller must call close.
func dial(ctx context.Context, p *plan, address string) (*link, error) {
	d := net.Dialer{Timeout: p.settings.Timeout, KeepAliveConfig: probes}
	conn, err := d.DialContext(ctx, p.settings.Network, address)
	if err != nil {
		return nil, err
	}
	return &link{
		address: address, conn: conn, plan: p, began: time.Now(), captured: map[string]string{}, facts: map[string]string{},
		cut:   cutter{messages: p.settings.Messages, end: p.end, most: p.settings.MaxMessage},
		fresh: make(chan struct{}, 1), ended: make(chan struct{}),
	}, nil
}

// mostWaiting is how many messages may come while an answer is awaited.
const mostWaiting = 10_000

var errFlood = errors.New("the box does not stop talking")

// read takes what the box says until the connection ends.
func (l *link) read() {
	defer close(l.ended)
	buffer := make([]byte, 8<<10)
	for {
		n, err := l.conn.Read(buffer)
		if n > 0 {
			if bad := l.take(buffer[:n]); bad != nil {
				err = bad
			}
		}
		if err == nil {
			continue
		}
		l.conn.Close()
		l.mu.Lock()
		byUs := l.err != nil
		if !byUs {
			l.err = err
		}
		l.ready()
		l.mu.Unlock()
		if !byUs {
			l.lost(l)
		}
		return
	}
}

// take cuts what came in into messages, notes the facts, and hands the messages to who waits.
func (l *link) take(data []byte) error {
	l.mu.Lock()
	var messages []string
	var err error
	if l.plan.settings.Network == "udp" {
		messages = []string{l.cut.packet(data)}
	} else {
		messages, err = l.cut.add(data)
	}
	asking := l.asking
	changes := make([]bool, len(messages))
	for i, m := range messages {
		changes[i] = l.note(m)
	}
	if asking {
		if l.waiting = append(l.waiting, messages...); len(l.waiting) > mostWaiting {
			err = errFlood
		}
		l.ready()
	}
	l.mu.Unlock()
	if !asking {
		for i, m := range messages {
			l.heard(m, changes[i])
		}
	}
	return err
}

// note keeps the facts of a message, and reports whether one has changed. The caller holds mu.
func (l *link) note(message string) (changed bool) {
	for name, pattern := range l.plan.facts {
		m := pattern.FindStringSubmatch(message)
		if m == nil {
			continue
		}
		if value := m[min(1, len(m)-1)]; l.facts[name] != value {
			l.facts[name], changed = value, true
		}
	}
	return changed
}

func (l *link) ready() {
	select {
	case l.fresh <- struct{}{}:
	default:
	}
}

// ask makes messages wait for the caller, from now on, or no longer.
func (l *link) ask(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking, l.waiting = on, nil
}

// next is the next message that the caller has asked for.
func (l *link) next(ctx context.Context) (string, error) {
	for {
		l.mu.Lock()
		if len(l.waiting) > 0 {
			message := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.mu.Unlock()
			return message, nil
		}
		err := l.err
		l.mu.Unlock()
		if err != nil {
			return "", err
		}
		select {
		case <-l.fresh:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// pending shows what has come in of a message that is not whole.
func (l *link) pending() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut.pending()
}

// known are the facts.
func (l *link) known() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.facts)
}

func (l *link) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

// close ends the connection, and returns when nothing of it is left.
func (l *link) close() {
	l.mu.Lock()
	if l.err == nil {
		l.err = net.ErrClosed
	}
	l.mu.Unlock()
	l.conn.Close()
	<-l.ended
}

// reason says in words why there was no answer.
func reason(err error) string {
	var timeout net.Error
	var lookup *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there"
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "the host is not known"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the box has ended the connection"
	case errors.Is(err, net.ErrClosed):
		return "the connection was closed"
	}
	return err.Error()
}
