package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	windowSize    = 2_500_000 // bytes between acknowledgements, both ways, unless the peer sets it
	ownChunkSize  = 4096
	writeTimeout  = 5 * time.Second
	farewell      = 2 * time.Second // how long the peer may still send when we have hung up
	bufferSize    = 64 << 10
	pingRequest   = 6
	pingResponse  = 7
	streamBegin   = 0
	dynamicLimit  = 2
	mediaStreamID = 1
)

// conn is one connection. Its run loop owns everything but gate, ending and publisher, which others
// may use.
type conn struct {
	srv       *Server
	nc        net.Conn
	gate      gate
	muted     bool // owned by Server.mu
	done      chan struct{}
	ending    atomic.Int64 // Unix ns after which no more is read; 0: not ending
	publisher atomic.Pointer[Publisher]

	connected time.Time
	received  uint64 // bytes read from the socket
	acked     uint64
	window    uint64
	quick     bool // acknowledge TCP segments at once
	in        *chunkReader
	out       chunkWriter
	accepted  bool // connect was answered
}

func newConn(s *Server, nc net.Conn) *conn {
	return &conn{
		srv: s, nc: nc, done: make(chan struct{}), connected: time.Now(), window: windowSize, quick: !s.set.SlowAcks,
	}
}

// close ends the connection now. It is called with Server.mu held, or by run itself.
func (c *conn) close() {
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	c.nc.Close()
}

func (c *conn) run() {
	log := c.srv.set.Log.With("remote", c.nc.RemoteAddr().String())
	err := c.serve()
	c.end(err)
	switch {
	case errors.Is(err, io.EOF), c.ending.Load() != 0, errors.Is(err, net.ErrClosed):
		log.Debug("rtmp connection ended")
	default:
		log.Debug("rtmp connection ended", "error", err)
	}
	c.srv.mu.Lock()
	c.close()
	c.srv.mu.Unlock()
}

// end tells the handler once that the publisher has gone.
func (c *conn) end(err error) {
	p := c.publisher.Load()
	if p == nil {
		return
	}
	select {
	case <-c.srv.done:
		err = ErrClosed
	default:
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrSilent
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = ErrGone
	}
	p.unpublish(err)
}

func (c *conn) serve() error {
	if err := handshake(c); err != nil {
		return err
	}
	c.in = newChunkReader(bufio.NewReaderSize(c, bufferSize))
	c.out = chunkWriter{w: bufio.NewWriterSize(c, ownChunkSize+64), size: defaultChunkSize}
	for {
		m, err := c.in.next()
		if err != nil {
			return err
		}
		if err := c.handle(m); err != nil {
			return err
		}
		if err := c.acknowledge(); err != nil {
			return err
		}
		if err := c.out.w.Flush(); err != nil {
			return err
		}
	}
}

// Read reads from the socket while the gate is open. Silence ends the publisher, and so does a gate
// that stays shut for as long.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.awaitGate(); err != nil {
		return 0, err
	}
	deadline := time.Now().Add(c.srv.set.Silence)
	if end := c.ending.Load(); end != 0 {
		deadline = time.Unix(0, end)
	}
	c.nc.SetReadDeadline(deadline)
	if c.quick {
		quickAck(c.nc)
	}
	n, err := c.nc.Read(b)
	c.received += uint64(n)
	return n, err
}

// awaitGate waits until the gate is open. To the platform a publisher that is not read from looks
// like one that sends nothing, so its feed ends after the usual silence. The connection stays,
// unread, until the gate opens.
func (c *conn) awaitGate() error {
	opens := c.gate.opened()
	if opens == nil {
		return nil
	}
	silence := time.NewTimer(c.srv.set.Silence)
	defer silence.Stop()
	for {
		select {
		case <-opens:
			if opens = c.gate.opened(); opens == nil {
				return nil
			}
		case <-silence.C:
			if p := c.publisher.Load(); p != nil {
				p.unpublish(ErrSilent)
			}
		case <-c.done:
			return net.ErrClosed
		}
	}
}

func (c *conn) Write(b []byte) (int, error) {
	c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	return c.nc.Write(b)
}

// acknowledge reports the bytes received once a window is full.
func (c *conn) acknowledge() error {
	if c.received-c.acked < c.window {
		return nil
	}
	c.acked = c.received
	return c.control(kindAck, binary.BigEndian.AppendUint32(nil, uint32(c.received)))
}

func (c *conn) control(kind byte, body []byte) error {
	return c.out.write(controlStream, message{kind: kind, body: body})
}

func (c *conn) command(stream uint32, values ...any) error {
	return c.out.write(commandStream, message{kind: kindCommand, stream: stream, body: appendAMF(nil, values...)})
}

// hangUp sends a FIN and lets the peer send for a moment: closing with unread bytes would reset the
// connection, and the peer would lose our last message.
func (c *conn) hangUp() {
	c.ending.CompareAndSwap(0, time.Now().Add(farewell).UnixNano())
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	c.nc.SetReadDeadline(time.Unix(0, c.ending.Load()))
	c.gate.open()
}

func (c *conn) handle(m message) error {
	switch m.kind {
	case kindWindowAckSize:
		if len(m.body) >= 4 {
			c.window = uint64(max(binary.BigEndian.Uint32(m.body), 1))
		}
	case kindUserControl:
		if len(m.body) >= 6 && binary.BigEndian.Uint16(m.body) == pingRequest {
			return c.control(kindUserControl, append([]byte{0, pingResponse}, m.body[2:6]...))
		}
	case byte(Audio), byte(Video):
		c.media(Tag{Kind: TagKind(m.kind), Timestamp: m.timestamp, At: time.Now(), Data: m.body})
	case byte(Script), kindData3:
		c.metadata(m)
	case kindCommand3:
		if len(m.body) > 0 {
			return c.runCommand(m.stream, m.body[1:])
		}
	case kindCommand:
		return c.runCommand(m.stream, m.body)
	}
	return nil
}

func (c *conn) media(t Tag) {
	if p := c.publisher.Load(); p != nil && !p.ended.Load() {
		c.srv.set.Handler.Tag(p, t)
		if t.Kind == Video && t.Frame() {
			c.quick = false
		}
	}
}

// metadata passes "@setDataFrame onMetaData {…}" on as FLV has it, without its first word.
func (c *conn) metadata(m message) {
	body := m.body
	if m.kind == kindData3 && len(body) > 0 {
		body = body[1:]
	}
	if name, rest, err := decodeValue(body, 0); err == nil && name == "@setDataFrame" {
		body = rest
	}
	c.media(Tag{Kind: Script, Timestamp: m.timestamp, At: time.Now(), Data: body})
}

// runCommand decodes a command and executes it.
func (c *conn) runCommand(stream uint32, body []byte) error {
	values, err := decodeAMF(body)
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	if len(values) < 2 {
		return errors.New("command: it has no name or no transaction id")
	}
	name, _ := values[0].(string)
	transaction, _ := values[1].(float64)
	return c.execute(name, transaction, stream, values[2:])
}
