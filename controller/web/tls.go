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

// certCheck is the shortest time between two checks of the certificate's files.
const certCheck = 10 * time.Second

// CertFiles serves the certificate of two PEM files and reads them again when they change. When a
// later pair is not valid, the last valid one stays in use, and the error is logged.
func CertFiles(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	f := &certFiles{cert: certFile, key: keyFile, log: log}
	if _, err := f.load(nil); err != nil {
		return nil, err
	}
	f.checked = time.Now()
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return f.current(time.Now()), nil
		},
	}, nil
}

// CheckCertFiles returns the reasons why the daemon could not serve the certificate of two PEM
// files, each as "tls.cert_file: …" or "tls.key_file: …".
func CheckCertFiles(certFile, keyFile string) (wrong []error) {
	read := func(key, path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: cannot be read: %w; allowed: a PEM file that the daemon may read",
				key, err))
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
			return []error{fmt.Errorf("tls.cert_file: contains no usable certificate: %s; "+
				"allowed: a PEM certificate chain", text)}
		}
		return []error{fmt.Errorf("tls.key_file: does not match cert_file: %s; "+
			"allowed: the PEM private key of that certificate", text)}
	}
	return nil
}

type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	loaded  *loadedPair
	checked time.Time
}

type loadedPair struct {
	tls.Certificate
	times [2]time.Time // of the files
}

// current returns the certificate to use. One caller at a time checks the files; meanwhile the
// others use the certificate that is loaded.
func (f *certFiles) current(now time.Time) *tls.Certificate {
	f.mu.Lock()
	loaded, since := f.loaded, now.Sub(f.checked)
	due := since >= certCheck || since < 0
	if due {
		f.checked = now
	}
	f.mu.Unlock()
	if due {
		var err error
		if loaded, err = f.load(loaded); err != nil {
			f.log.Error("the certificate cannot be read again; the last one stays in use", "error", err)
		}
	}
	return &loaded.Certificate
}

// load reads the pair unless the files' times are those of old, and returns the pair that is in
// force.
func (f *certFiles) load(old *loadedPair) (*loadedPair, error) {
	var times [2]time.Time
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return old, fmt.Errorf("tls: %w", err)
		}
		times[i] = info.ModTime()
	}
	if old != nil && times == old.times {
		return old, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return old, fmt.Errorf("tls: %s and %s: %w", f.cert, f.key, err)
	}
	loaded := &loadedPair{pair, times}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loaded = loaded
	return loaded, nil
}

// ACME gets and renews certificates for the domains from Let's Encrypt, by the challenge that needs
// no port other than the public side's own 443 (tls-alpn-01). It keeps them in dir. Using it
// accepts the terms of Let's Encrypt. The first connection for a domain waits for its certificate,
// and may fail until it is there.
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
