package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/icholy/digest"

	"github.com/oncue/oncue/encoders"
)

// maxAnswer bounds how much of an answer is read, bytes.
const maxAnswer = 1 << 20

var (
	errTooLarge = errors.New("the answer is larger than 1 MiB")
	errPin      = errors.New("the box's certificate is not the pinned one")
)

// newTransport makes the transport to a box: no proxy, HTTP/1.1, and connections kept only for
// bursts of requests, because embedded servers close idle ones unannounced.
func newTransport(p *plan, guard encoders.Guard) (*wire, http.RoundTripper, error) {
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: p.settings.Timeout}).DialContext,
		TLSHandshakeTimeout:    p.settings.Timeout,
		MaxConnsPerHost:        1,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        2 * time.Second,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	if p.socket != "" {
		t.DialContext = dialSocket(p, guard)
	}
	config, err := tlsConfig(p)
	if err != nil {
		return nil, nil, err
	}
	t.TLSClientConfig = config
	w := &wire{transport: t}
	if p.auth != "digest" {
		return w, w, nil
	}
	return w, &digest.Transport{Username: p.settings.Username, Password: p.settings.Password.Reveal(), Transport: w},
		nil
}

func tlsConfig(p *plan) (*tls.Config, error) {
	s := p.settings.TLS
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case p.pin != nil:
		config.MinVersion = tls.VersionTLS10 // old boxes; the pin identifies them
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			sum := sha256.Sum256(state.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(sum[:], p.pin) != 1 {
				return fmt.Errorf("%w: it has SHA-256 %x", errPin, sum)
			}
			return nil
		}
	case s.Insecure:
		config.MinVersion = tls.VersionTLS10
		config.InsecureSkipVerify = true
	case s.CAFile != "":
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s holds no PEM certificate", s.CAFile)
		}
	}
	return config, nil
}

// wire is the last step before the network. It reads each answer whole, up to maxAnswer, and traces
// it.
type wire struct{ transport *http.Transport }

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	res, err := w.transport.RoundTrip(req)
	var body []byte
	if err == nil {
		body, err = readAnswer(res.Body)
	}
	if c, ok := req.Context().Value(callKey{}).(*call); ok {
		c.trace(req, res, body, err, began)
	}
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// CloseIdleConnections is found by http.Client and digest.Transport.
func (w *wire) CloseIdleConnections() { w.transport.CloseIdleConnections() }

// readAnswer reads a body. One that ends before its announced length is used as far as it goes:
// firmware often announces a wrong length.
func readAnswer(body io.ReadCloser) ([]byte, error) {
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	switch {
	case len(text) > maxAnswer:
		return nil, errTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF) && len(text) > 0:
		return text, nil
	}
	return text, err
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// sameHost follows redirects only on the same box, with the same method, and never from https to
// http.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > 3 || req.URL.Hostname() != first.URL.Hostname() || first.URL.Scheme == "https" &&
		req.URL.Scheme != "https" ||
		req.Method != first.Method {
		return http.ErrUseLastResponse
	}
	return nil
}
