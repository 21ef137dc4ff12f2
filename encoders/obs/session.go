package obs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/oncue/oncue/configs/secret"
)

// maxMessage bounds one message from OBS, bytes. The largest that is asked for, a list of scenes,
// is far smaller.
const maxMessage = 1 << 20

// target is where OBS listens.
type target struct {
	address  string
	tls      bool
	password secret.Value
}

func (t target) url() string {
	if t.tls {
		return "wss://" + t.address
	}
	return "ws://" + t.address
}

// session is one open, identified websocket to OBS. Requests may run at once, and none can block
// another or the reader.
type session struct {
	address     string
	conn        *websocket.Conn
	unprotected bool // OBS asked for no password
	onEvent     func(event)
	cancel      context.CancelFunc
	done        chan struct{} // closed when the reader has ended; err is set then
	err         error

	mu      sync.Mutex
	next    int
	waiting map[string]chan response
}

// dial connects and identifies within the limit. The reader calls onEvent for each event, one at a
// time; onEvent must be quick.
func dial(ctx context.Context, t target, limit time.Duration, onEvent func(event)) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var connected atomic.Bool
	transport := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			connected.Store(err == nil)
			return c, err
		}}
	client := &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	conn, resp, err := websocket.Dial(ctx, t.url(),
		&websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"obswebsocket.json"}})
	if err != nil {
		return nil, dialError(t.address, connected.Load(), limit, resp, err)
	}
	conn.SetReadLimit(maxMessage)
	s := &session{address: t.address, conn: conn, onEvent: onEvent, done: make(chan struct{}),
		waiting: map[string]chan response{}}
	if err := s.identify(ctx, t.password); err != nil {
		conn.CloseNow()
		return nil, err
	}
	reading, stop := context.WithCancel(context.Background())
	s.cancel = stop
	go s.read(reading)
	return s, nil
}

// identify is the handshake: greeting, proof of the password, acceptance.
func (s *session) identify(ctx context.Context, password secret.Value) error {
	m, err := s.receive(ctx)
	if err == nil && m.hello == nil {
		err = errors.New("the first message is not a greeting")
	}
	if err != nil {
		return &linkError{address: s.address, what: "does not speak obs-websocket 5", hint: hintVersion, err: err}
	}
	s.unprotected = m.hello.Authentication == nil
	id := identify{RPCVersion: rpcVersion, EventSubscriptions: subscriptions}
	if c := m.hello.Authentication; c != nil {
		if !password.Set() {
			return &linkError{address: s.address, what: "asks for a password, and none is configured",
				hint: hintPassword, refused: true}
		}
		id.Authentication = c.answer(password)
	}
	data, err := encode(opIdentify, id)
	if err != nil {
		return err
	}
	if err := s.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return closedError(s.address, err)
	}
	m, err = s.receive(ctx)
	switch {
	case err != nil && isTimeout(err):
		return &linkError{address: s.address, what: "does not answer the handshake", hint: hintFrozen, err: err}
	case err != nil:
		return closedError(s.address, err)
	case m.identified == nil || m.identified.NegotiatedRPCVersion != rpcVersion:
		return &linkError{address: s.address, what: "does not speak version 1 of its protocol", hint: hintVersion}
	}
	return nil
}

func (s *session) receive(ctx context.Context) (message, error) {
	_, data, err := s.conn.Read(ctx)
	if err != nil {
		return message{}, err
	}
	return parse(data)
}

// read delivers responses and events until the connection ends. A message that is not understood
// ends it: what follows cannot be trusted.
func (s *session) read(ctx context.Context) {
	defer close(s.done)
	defer s.cancel()
	defer s.conn.CloseNow()
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			s.err = closedError(s.address, err)
			return
		}
		m, err := parse(data)
		if err != nil {
			s.err = &linkError{address: s.address, what: "sends what is not understood: " + err.Error(),
				hint: hintVersion, err: err}
			return
		}
		switch {
		case m.event != nil:
			s.onEvent(*m.event)
		case m.response != nil:
			s.deliver(*m.response)
		}
	}
}

// deliver gives a response to the request that waits for it, if one still does.
func (s *session) deliver(r response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch, ok := s.waiting[r.ID]; ok {
		delete(s.waiting, r.ID)
		ch <- r // has room for one
	}
}

// close ends the connection and returns when the reader has ended.
func (s *session) close() {
	s.cancel()
	<-s.done
}

// do sends one request and waits for its response, limit at most. data and into may be nil. A
// refusal is a *requestError.
func (s *session) do(ctx context.Context, limit time.Duration, kind string, data, into any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ch := make(chan response, 1)
	s.mu.Lock()
	s.next++
	id := strconv.Itoa(s.next)
	s.waiting[id] = ch
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()
	message, err := encode(opRequest, request{Type: kind, ID: id, Data: data})
	if err != nil {
		return fmt.Errorf("%s cannot be written as JSON", kind) // the cause could show a key
	}
	// A context that ends during a write breaks the websocket, so the caller's is not used.
	writing, done := context.WithTimeout(context.Background(), limit)
	defer done()
	if err := s.conn.Write(writing, websocket.MessageText, message); err != nil {
		s.cancel()
		return fmt.Errorf("obs at %s: %s could not be sent: the connection broke off", s.address, kind)
	}
	select {
	case r := <-ch:
		return r.result(kind, into)
	case <-s.done:
		return fmt.Errorf("obs at %s: the connection ended before the answer to %s: %w", s.address, kind, s.err)
	case <-ctx.Done():
		return fmt.Errorf("obs at %s gave no answer to %s: %w", s.address, kind, ctx.Err())
	}
}

func (r response) result(kind string, into any) error {
	if !r.Status.Result {
		return &requestError{Type: kind, Code: r.Status.Code, Comment: r.Status.Comment}
	}
	if into != nil && json.Unmarshal(r.Data, into) != nil {
		return fmt.Errorf("the answer to %s is not understood", kind) // the cause could show a key
	}
	return nil
}
