package obstest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/coder/websocket"
)

// conn is one client. Messages to it go through a queue, so that no one waits for a slow client.
type conn struct {
	ws    *websocket.Conn
	queue chan outgoing
	deaf  atomic.Bool
}

// outgoing is a message, or with a code the end.
type outgoing struct {
	data []byte
	code websocket.StatusCode
}

func (c *conn) send(data []byte) { c.enqueue(outgoing{data: data}) }

func (c *conn) enqueue(o outgoing) {
	select {
	case c.queue <- o:
	default: // a client so far behind is one that a test has abandoned
	}
}

// write empties the queue, but not while the server is frozen.
func (s *Server) write(ctx context.Context, c *conn) {
	for {
		select {
		case o := <-c.queue:
			s.whileFrozen()
			if c.deaf.Load() {
				continue
			}
			if o.code != 0 {
				c.ws.Close(o.code, "")
				return
			}
			if c.ws.Write(ctx, websocket.MessageText, o.data) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) whileFrozen() {
	s.mu.Lock()
	frozen := s.frozen
	s.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.handlers.Add(1)
	defer s.handlers.Done()
	s.whileFrozen()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"obswebsocket.json"}})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := &conn{ws: ws, queue: make(chan outgoing, 256)}
	if !s.greet(ctx, c) {
		return
	}
	s.handlers.Go(func() { s.write(ctx, c) })
	defer cancel()
	for {
		_, data, err := ws.Read(ctx)
		if err != nil {
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
			return
		}
		s.whileFrozen()
		if !c.deaf.Load() {
			s.request(c, data)
		}
	}
}

// greet is the handshake. A client with a wrong password is closed with 4009.
func (s *Server) greet(ctx context.Context, c *conn) bool {
	const challenge, salt = "+IxH4CnCiqpX1rM9scsNynZzbOe4KhDeYcTNS3PDaeY=",
		"lM1GncleQOaCu9lT1yeUZhFYnqhsLLP1G5lAGo3ixaI="
	s.mu.Lock()
	settings := s.settings
	s.mu.Unlock()
	hello := map[string]any{"obsWebSocketVersion": "5.1.0", "rpcVersion": 1}
	if settings.Password != "" {
		hello["authentication"] = map[string]string{"challenge": challenge, "salt": salt}
	}
	greeting := encode(0, hello)
	if settings.Greeting != "" {
		greeting = []byte(settings.Greeting)
	}
	if c.ws.Write(ctx, websocket.MessageText, greeting) != nil {
		return false
	}
	var identify struct {
		D struct {
			Authentication string `json:"authentication"`
		} `json:"d"`
	}
	_, data, err := c.ws.Read(ctx)
	if err != nil || json.Unmarshal(data, &identify) != nil {
		return false
	}
	if settings.Password != "" && identify.D.Authentication != b64sha(b64sha(settings.Password+salt)+challenge) {
		c.ws.Close(4009, "Your password is incorrect or missing.")
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || c.ws.Write(ctx, websocket.MessageText, encode(2, map[string]any{"negotiatedRpcVersion": 1})) != nil {
		return false
	}
	s.conns[c] = true
	return true
}

func b64sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}
