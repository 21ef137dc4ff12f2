package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Check says why no notice can be sent to a recipient, or returns nil. It connects to nothing. Its
// errors contain no part of the URL but its scheme.
func Check(r Recipient) error {
	_, err := senderFor(r)
	return err
}

func senderFor(r Recipient) (sender, error) {
	u, err := url.Parse(r.URL.Reveal())
	if err != nil || u.Scheme == "" {
		return nil, errors.New("is not a URL")
	}
	switch u.Scheme {
	case "https":
		if u.Hostname() == "" {
			return nil, errors.New("names no host")
		}
		return newHook(r)
	case "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, errors.New("plain http is allowed to this host only; write https")
		}
		return newHook(r)
	}
	return newChat(u)
}

// newChat makes the sender for a service that shoutrrr supports.
func newChat(u *url.URL) (chat, error) {
	service, _, _ := strings.Cut(u.Scheme, "+")
	if known := new(router.ServiceRouter).ListServices(); !slices.Contains(known, service) {
		slices.Sort(known)
		return chat{}, fmt.Errorf("unsupported service %s://; allowed: https, %s",
			u.Scheme, strings.Join(known, ", "))
	}
	c := chat{scheme: u.Scheme, spare: make(chan types.Service, 1), running: make(chan struct{}, maxRunning)}
	full, checked := u.String(), *u
	c.open = func() (types.Service, error) { return new(router.ServiceRouter).Locate(full) }
	if service == "matrix" { // making its sender would log a user in
		checked.User = url.UserPassword("", "token")
	}
	s, err := new(router.ServiceRouter).Locate(checked.String())
	if err != nil {
		return chat{}, fmt.Errorf("the %s:// URL is incomplete or wrong; "+
			"shoutrrr's documentation shows how it is written", u.Scheme)
	}
	if service != "matrix" {
		c.spare <- s
	}
	return c, nil
}

// hook is a plain webhook, signed by the Standard Webhooks scheme 1.0.0 where a secret is set.
type hook struct {
	url    secret.Value
	key    []byte
	client *http.Client
}

func newHook(r Recipient) (*hook, error) {
	h := &hook{url: r.URL, client: &http.Client{
		Timeout:       sendLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if r.Secret.Set() {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Secret.Reveal(), "whsec_"))
		if err != nil || len(key) == 0 {
			return nil, errors.New("its secret is not base64")
		}
		h.key = key
	}
	return h, nil
}

// payload is the body of a plain webhook.
type payload struct {
	Type      string          `json:"type"` // "oncue." and the notice's kind
	Timestamp controller.Time `json:"timestamp"`
	Data      struct {
		Account string              `json:"account,omitempty"`
		Stream  controller.StreamID `json:"stream,omitempty"`
		Text    string              `json:"text"`
	} `json:"data"`
}

func (h *hook) send(ctx context.Context, n controller.Notice, id string) error {
	p := payload{Type: "oncue." + n.Kind, Timestamp: controller.Time{Time: n.At}}
	p.Data.Account, p.Data.Stream, p.Data.Text = n.Account, n.Stream, n.Text
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url.Reveal(), bytes.NewReader(body))
	if err != nil {
		return errors.New("the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/json")
	if h.key != nil {
		h.sign(req.Header, id, body, time.Now())
	}
	res, err := h.client.Do(req)
	if err != nil {
		return cause(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if res.StatusCode/100 != 2 {
		// The status line's own text may contain anything.
		return fmt.Errorf("the recipient answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	return nil
}

// cause says why a request failed, without the text of the libraries' errors, which may contain the
// host or what the recipient sent.
func cause(err error) error {
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("the recipient's host name cannot be resolved: %s", name.Err)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("the recipient's certificate is not valid: " +
			"expired, for another name, or of an unknown authority")
	}
	if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() {
		return errors.New("the recipient did not answer in time")
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return fmt.Errorf("the recipient cannot be reached: %w", number)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the recipient closed the connection")
	}
	return errors.New("the recipient's answer cannot be read")
}

func (h *hook) sign(header http.Header, id string, body []byte, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, h.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", at)
	header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// chat is a service that shoutrrr supports. shoutrrr's Send takes no context, and mail, among
// others, waits for ever: so each Send runs in a goroutine of its own, which is abandoned when its
// time is up.
type chat struct {
	scheme  string
	open    func() (types.Service, error) // may connect
	spare   chan types.Service            // the last one used; some cannot send two notices at a time
	running chan struct{}                 // has one element for each running Send, abandoned ones included
}

// maxRunning is how many Sends to one recipient may run or hang. Each has a connection, and
// encoders must not run out of these.
const maxRunning = 4

func (c chat) send(ctx context.Context, n controller.Notice, _ string) error {
	text := "oncue: " + n.Text
	if n.Stream != "" {
		text = "oncue: " + string(n.Stream) + ": " + n.Text
	}
	select {
	case c.running <- struct{}{}:
	default:
		return fmt.Errorf("%s hangs: it has not answered %d notices yet", c.scheme, maxRunning)
	}
	done := make(chan error, 1)
	go func() {
		err := c.sendNow(text)
		<-c.running
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", c.scheme, ctx.Err())
	}
}

// sendNow sends and waits for the answer. Its errors leave out the service's text, which may
// contain the URL.
func (c chat) sendNow(text string) (err error) {
	defer func() {
		if recover() != nil { // a panic of shoutrrr must not end the daemon
			err = fmt.Errorf("the sender for %s failed", c.scheme)
		}
	}()
	var s types.Service
	select {
	case s = <-c.spare:
	default:
		if s, err = c.open(); err != nil {
			return fmt.Errorf("%s cannot be reached", c.scheme)
		}
	}
	if s.Send(text, &types.Params{}) != nil {
		return fmt.Errorf("%s did not accept the notice", c.scheme)
	}
	select {
	case c.spare <- s:
	default:
	}
	return nil
}
