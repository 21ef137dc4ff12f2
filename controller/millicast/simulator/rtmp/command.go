package rtmp

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// errRefused ends a connection whose publisher was refused and told why.
var errRefused = errors.New("the publisher was refused")

// execute executes one command of a publisher.
func (c *conn) execute(name string, transaction float64, stream uint32, args []any) error {
	switch name {
	case "connect":
		return c.connect(transaction, args)
	case "createStream":
		return c.command(0, "_result", transaction, nil, float64(mediaStreamID))
	case "publish":
		return c.publish(stream, args)
	case "FCPublish":
		ready := status("status", "NetStream.Publish.Start", "ready")
		if err := c.command(0, "onFCPublish", 0.0, nil, ready); err != nil {
			return err
		}
		return c.command(0, "_result", transaction, nil, nil)
	case "FCUnpublish", "deleteStream", "closeStream":
		if p := c.publisher.Load(); p != nil {
			p.unpublish(nil)
		}
		return nil
	case "play", "play2":
		return c.refuse(stream, "NetStream.Play.StreamNotFound", "this ingest plays nothing")
	}
	if transaction == 0 {
		return nil // it expects no answer
	}
	return c.command(0, "_result", transaction, nil, nil) // releaseStream, _checkbw and others
}

func (c *conn) connect(transaction float64, args []any) error {
	var object Object
	if len(args) > 0 {
		object, _ = args[0].(Object)
	}
	app, _ := object.Get("app").(string)
	app, _, _ = strings.Cut(app, "?")
	if strings.Trim(app, "/") != c.srv.set.App {
		words := fmt.Sprintf("no application %q here, publish to /%s", app, c.srv.set.App)
		rejected := status("error", "NetConnection.Connect.Rejected", words)
		if err := c.command(0, "_error", transaction, nil, rejected); err != nil {
			return err
		}
		return c.drainRefused()
	}
	c.accepted = true
	four := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	c.control(kindWindowAckSize, four(windowSize))
	c.control(kindPeerBandwidth, append(four(windowSize), dynamicLimit))
	c.control(kindSetChunkSize, four(ownChunkSize))
	c.out.size = ownChunkSize
	return c.command(0, "_result", transaction,
		Object{{"fmsVer", "FMS/3,5,7,7009"}, {"capabilities", 31.0}},
		append(status("status", "NetConnection.Connect.Success", "connected"), Property{"objectEncoding", 0.0}))
}

// publish asks the handler about a playpath: NAME?token=TOKEN&…, with NAME percent-encoded where it
// must be.
func (c *conn) publish(stream uint32, args []any) error {
	if !c.accepted {
		return errors.New("publish: it comes before connect")
	}
	if c.publisher.Load() != nil {
		return c.refuse(stream, "NetStream.Publish.BadName", "this connection has published already")
	}
	var playpath string
	if len(args) > 1 {
		playpath, _ = args[1].(string)
	}
	p, err := newPublisher(c, playpath)
	if err != nil {
		return c.refuse(stream, "NetStream.Publish.BadName", err.Error())
	}
	// Between the handler's yes and the storing of p only those who got p from the handler can end
	// it: the run loop, which could too, is here.
	if err := c.srv.set.Handler.Publish(p); err != nil {
		return c.refuse(stream, "NetStream.Publish.BadName", err.Error())
	}
	c.publisher.Store(p)
	if err := c.control(kindUserControl, binary.BigEndian.AppendUint32([]byte{0, streamBegin}, stream)); err != nil {
		return err
	}
	return c.command(stream, "onStatus", 0.0, nil, status("status", "NetStream.Publish.Start", "publishing"))
}

// refuse tells the publisher why and ends the connection.
func (c *conn) refuse(stream uint32, code, words string) error {
	if err := c.command(stream, "onStatus", 0.0, nil, status("error", code, words)); err != nil {
		return err
	}
	return c.drainRefused()
}

// drainRefused sends what is buffered and reads until the publisher hangs up or its time is over.
func (c *conn) drainRefused() error {
	if err := c.out.w.Flush(); err != nil {
		return err
	}
	c.hangUp()
	rest := make([]byte, 4096)
	for {
		if _, err := c.Read(rest); err != nil {
			return errRefused
		}
	}
}

func status(level, code, words string) Object {
	return Object{{"level", level}, {"code", code}, {"description", words}}
}

func newPublisher(c *conn, playpath string) (*Publisher, error) {
	name, query, _ := strings.Cut(playpath, "?")
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the part of the stream key after ? is not a query")
	}
	if name == "" {
		return nil, errors.New("the stream key names no stream")
	}
	token, err := takeToken(params)
	if err != nil {
		return nil, err
	}
	return &Publisher{
		Name:      name,
		Key:       secret.New(playpath),
		Token:     token,
		Params:    params,
		Remote:    c.nc.RemoteAddr().String(),
		Connected: c.connected,
		Published: time.Now(),
		conn:      c,
	}, nil
}

// takeToken removes the token from the parameters. The platform takes it as token, hexadecimal, or
// as t, the same bytes in base64url without padding, and not both at once (source: the vendor's
// documentation, "Publishing Parameters").
func takeToken(params url.Values) (secret.Value, error) {
	token, short := params.Get("token"), params.Get("t")
	params.Del("token")
	params.Del("t")
	if short == "" {
		return secret.New(token), nil
	}
	if token != "" {
		return secret.Value{}, errors.New("the stream key has both token and t: one is enough")
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(short, "="))
	if err != nil {
		return secret.Value{}, errors.New("the parameter t of the stream key is not base64url")
	}
	return secret.New(hex.EncodeToString(raw)), nil
}
