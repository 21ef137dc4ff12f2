package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
)

// Client asks the running daemon through its admin side. find.go says how it is found.
type Client struct {
	Base  string // http://host:port, without a slash at the end
	Shown string // as people know it: unix:/path for a socket
	guess string // why the address is only the usual one; "" when somebody named it
	Token secret.Value
	http  *http.Client
}

const (
	answerLimit = 30 * time.Second // of one call
	maxAnswer   = 64 << 20
)

// noDaemon is the error when nothing answers at the address.
type noDaemon struct{ error }

func (e noDaemon) Unwrap() error { return e.error }

// IsUnreachable reports whether nothing answered at the daemon's address.
func IsUnreachable(err error) bool { return errors.As(err, &noDaemon{}) }

// Refusal is a problem document of the daemon.
type Refusal struct {
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Hint   string `json:"hint"`

	Problems []string `json:"problems"` // of a configuration that was refused
}

func (r *Refusal) Error() string { return term.Harmless(r.Detail) }

// Get fetches path and decodes the answer into out. A *[]byte gets the answer as it is.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.Call(ctx, http.MethodGet, path, nil, out)
}

func (c *Client) Call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	resp, err := c.send(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.Shown, PlainCause(err))
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = answer
		return nil
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		err := fmt.Errorf("%s gave an unexpected answer to %s %s: %s", c.Shown, method, path, millicast.Misfit(err))
		return term.Hint(err, "is it the admin side of an oncue of this version? oncue version shows this one's")
	}
	return nil
}

// send makes a request; an answer that is no success becomes an error. The caller closes the body.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, body any) (*http.Response, error) {
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, sent)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token.Set() {
		req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, c.refused(resp)
	}
	return resp, nil
}

// Copy prints an answer of the API as it is.
func (c *Client) Copy(ctx context.Context, path string, out io.Writer) error {
	var answer []byte
	if err := c.Get(ctx, path, &answer); err != nil {
		return err
	}
	_, err := out.Write(answer)
	return err
}

func (c *Client) unreachable(err error) error {
	cause := PlainCause(err)
	if errors.Is(err, context.Canceled) {
		return err
	}
	failed := noDaemon{fmt.Errorf("the daemon does not answer at %s: %w", c.Shown, cause)}
	switch {
	case errors.Is(cause, os.ErrPermission):
		return term.Hint(failed, "the socket is for its owner and its group: use sudo, or join the group")
	case c.guess != "":
		return term.Hint(failed, c.guess+"; name the address with --admin URL, or the file with --config FILE")
	case errors.Is(cause, syscall.ECONNREFUSED), errors.Is(cause, os.ErrNotExist):
		return term.Hint(failed, "is it running? systemctl status oncue tells; oncue serve starts it here")
	}
	return term.Hint(failed,
		"is the address right? --admin URL, ONCUE_ADMIN or admin.listen of the configuration name it")
}

// PlainCause removes the layers of net and url, whose words repeat the address.
func PlainCause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// refused turns an answer that is no success into an error with the daemon's own words.
func (c *Client) refused(resp *http.Response) error {
	r := &Refusal{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	kind := resp.Header.Get("Content-Type")
	if err != nil || !strings.HasPrefix(kind, "application/problem+json") || json.Unmarshal(body, r) != nil ||
		r.Detail == "" {
		return term.Hint(fmt.Errorf("%s answered %s, which is no answer of an oncue daemon", c.Shown, resp.Status),
			"is another program listening there? --admin URL names the admin side")
	}
	r.Status = resp.StatusCode
	switch {
	case r.Status == http.StatusUnauthorized && !c.Token.Set():
		return term.Hint(fmt.Errorf("the daemon at %s: %w", c.Shown, r),
			c.tokenHint("give it in ONCUE_ADMIN_TOKEN or with --token-file FILE"))
	case r.Status == http.StatusUnauthorized:
		return term.Hint(fmt.Errorf("the daemon at %s: %w", c.Shown, r),
			c.tokenHint("it is admin.token of the configuration that the daemon started with"))
	case r.Hint != "":
		return term.Hint(r, term.Harmless(r.Hint))
	}
	return r
}

func (c *Client) tokenHint(text string) string {
	if c.guess != "" {
		return text + " (" + c.guess + ")"
	}
	return text
}

// StreamPath is the address of a stream below the API, whatever its name holds.
func StreamPath(id, rest string) string { return "/api/v1/streams/" + url.PathEscape(id) + rest }
