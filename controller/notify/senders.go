package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
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
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Check says why a receiver cannot be told, or nil. It connects to nothing. Its errors hold no part of the URL beyond its scheme.
func Check(r Receiver) error {
	_, err := senderFor(r)
	return err
}

func senderFor(r Receiver) (sender, error) {
	u, err := url.Parse(r.URL.Reveal())
	if err != nil || u.Scheme == "" {
		return nil, errors.New("is not a URL")
	}
	switch u.Scheme {
	case "https":
		return newHook(r)
	case "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, errors.New("plain http goes to this host only; write https")
		}
		return newHook(r)
	}
	return newChat(u)
}

// newChat makes the sender for a service that shoutrrr knows.
func newChat(u *url.URL) (chat, error) {
	service, _, _ := strings.Cut(u.Scheme, "+")
	if known := new(router.ServiceRouter).ListServices(); !slices.Contains(known, service) {
		slices.Sort(known)
		return chat{}, fmt.Errorf("%s:// is no service that can be told; allowed: https, %s", u.Scheme, strings.Join(known, ", "))
	}
	full, checked := u.String(), *u
	if service == "matrix" { // which logs a user in as soon as its sender is made
		checked.User = url.UserPassword("", "token")
	}
	s, err := shoutrrr.CreateSender(checked.String())
	if err != nil {
		return chat{}, fmt.Errorf("the %s:// URL is incomplete or wrong; shoutrrr's documentation shows how it is written", u.Scheme)
	}
	c := chat{scheme: u.Scheme, open: func() (*router.ServiceRouter, error) { return s, nil }}
	if service == "matrix" {
		c.open = func() (*router.ServiceRouter, error) { return shoutrrr.CreateSender(full) }
	}
	return c, nil
}

// hook is a plain webhook, signed by the Standard Webhooks scheme 1.0.0 where a secret is set.
type hook struct {
	url    secret.Value
	key    []byte
	client *http.Client
}

func newHook(r Receiver) (*hook, error) {
	h := &hook{url: r.URL, client: &http.Client{Timeout: sendLimit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if r.Secret.Set() {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Secret.Reveal(), "whsec_"))
		if err != nil {
			return nil, errors.New("its secret is not base64")
		}
		h.key = key
	}
	return h, nil
}

// payload is the body of a plain webhook.
type payload struct {
	Type      string          `json:"type"` // oncue. and the kind
	Timestamp controller.Time `json:"timestamp"`
	Data      struct {
		Account string `json:"account,omitempty"`
		Stream  string `json:"stream,omitempty"`
		Text    string `json:"text"`
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
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("the receiver answered %s", res.Status)
	}
	return nil
}

func (h *hook) sign(header http.Header, id string, body []byte, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, h.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", at)
	header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// chat is a service that shoutrrr knows. Its Send takes no context, so it runs aside and is left behind when time is up.
type chat struct {
	scheme string
	open   func() (*router.ServiceRouter, error) // may connect
}

func (c chat) send(ctx context.Context, n controller.Notice, _ string) error {
	text := "oncue: " + n.Text
	if n.Stream != "" {
		text = "oncue: " + n.Stream + ": " + n.Text
	}
	done := make(chan error, 1)
	go func() {
		service, err := c.open()
		if err != nil {
			done <- fmt.Errorf("%s cannot be reached", c.scheme) // its own words may hold the URL
			return
		}
		for _, err := range service.Send(text, nil) {
			if err != nil {
				done <- fmt.Errorf("%s did not take it", c.scheme)
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", c.scheme, ctx.Err())
	}
}
