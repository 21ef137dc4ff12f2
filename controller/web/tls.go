package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// certLook is how often the certificate's files are looked at, at most.
const certLook = 10 * time.Second

// CertFiles serves the certificate of two PEM files, and follows when they change. A pair that cannot be read later leaves the last good one in
// use, and is logged.
func CertFiles(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	f := &certFiles{cert: certFile, key: keyFile, log: log}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.looked = time.Now()
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return f.current(time.Now()), nil
		},
	}, nil
}

// CheckCertFiles says why the daemon could not serve the certificate of two PEM files, each reason as "tls.cert_file: …" or "tls.key_file: …".
func CheckCertFiles(certFile, keyFile string) (wrong []error) {
	read := func(key, path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: cannot be read: %w; allowed: a PEM file that the daemon may read", key, err))
		}
		return text
	}
	cert, key := read("tls.cert_file", certFile), read("tls.key_file", keyFile)
	if len(wrong) > 0 {
		return wrong
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		text := strings.TrimPrefix(err.Error(), "tls: ")
		if strings.Contains(text, "certificate input") || strings.HasPrefix(text, "x509: ") {
			return []error{fmt.Errorf("tls.cert_file: holds no certificate that can be used: %s; allowed: a PEM certificate chain", text)}
		}
		return []error{fmt.Errorf("tls.key_file: does not go with cert_file: %s; allowed: the PEM private key of that certificate", text)}
	}
	return nil
}

type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamp  [2]time.Time
	looked time.Time
}

func (f *certFiles) current(now time.Time) *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.looked); since >= certLook || since < 0 {
		f.looked = now
		if err := f.load(); err != nil {
			f.log.Error("the certificate cannot be read again; the last one stays in use", "error", err)
		}
	}
	return f.pair
}

// load reads the pair when a file's time has changed.
func (f *certFiles) load() error {
	var stamp [2]time.Time
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		stamp[i] = info.ModTime()
	}
	if f.pair != nil && stamp == f.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("tls: %s and %s: %w", f.cert, f.key, err)
	}
	f.pair, f.stamp = &pair, stamp
	return nil
}

// ACME gets and renews certificates for the domains from Let's Encrypt, by the challenge that needs no other port than the public side's own
// 443 (tls-alpn-01). It keeps them in dir. Using it accepts the terms of Let's Encrypt. The first connection for a domain waits for its certificate,
// and may have to be made again.
func ACME(domains []string, email, dir string) *tls.Config {
	m := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(dir),
		HostPolicy: autocert.HostWhitelist(domains...),
		Email:      email,
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1", acme.ALPNProto},
		GetCertificate: m.GetCertificate,
	}
}
