package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller/millicast"
)

// writeCert writes a self-signed pair for 127.0.0.1.
func writeCert(t *testing.T, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertFilesFollowAChange(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := CertFiles(cert, key, quiet()); err == nil || !strings.Contains(err.Error(), cert) {
		t.Errorf("without files: %v", err)
	}
	writeCert(t, cert, key, "first")
	f := &certFiles{cert: cert, key: key, log: quiet()}
	if _, err := f.load(nil); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	name := func() string {
		now = now.Add(certCheck)
		leaf, err := x509.ParseCertificate(f.current(now).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	later := func(file string, d time.Duration) {
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	writeCert(t, cert, key, "second")
	later(cert, time.Minute)
	if got := name(); got != "second" {
		t.Errorf("after a change: %s", got)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	later(cert, 2*time.Minute)
	if got := name(); got != "second" {
		t.Errorf("with a broken file: %s", got)
	}
	writeCert(t, cert, key, "third")
	later(cert, 3*time.Minute)
	if got := name(); got != "third" {
		t.Errorf("after the repair: %s", got)
	}
}

func TestCheckCertFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	writeCert(t, cert, key, "first")
	writeCert(t, filepath.Join(dir, "cert2.pem"), other, "second")
	for _, c := range []struct {
		cert, key string
		want      []string // how each begins
	}{
		{cert, key, nil},
		{cert, other,
			[]string{"tls.key_file: does not match cert_file: private key does not match public key; allowed: "}},
		{cert, cert, []string{"tls.key_file: does not match cert_file: found a certificate rather than a key"}},
		{key, key, []string{"tls.cert_file: contains no usable certificate: "}},
		{filepath.Join(dir, "none"), filepath.Join(dir, "nor this"),
			[]string{"tls.cert_file: cannot be read: ", "tls.key_file: cannot be read: "}},
		{cert, dir, []string{"tls.key_file: cannot be read: "}},
	} {
		got := CheckCertFiles(c.cert, c.key)
		ok := len(got) == len(c.want)
		for i := range got {
			ok = ok && strings.HasPrefix(got[i].Error(), c.want[i])
		}
		if !ok {
			t.Errorf("%s and %s: %v, want %q", c.cert, c.key, got, c.want)
		}
	}
}

func TestHooksOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCert(t, cert, key, "oncue")
	config, err := CertFiles(cert, key, quiet())
	if err != nil {
		t.Fatal(err)
	}
	h, addr := startHooks(t, HookOptions{Receiver: verifying(nil), TLS: config, MaxConns: 10}, nil)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the pair is the test's own
	}}
	defer client.CloseIdleConnections()
	for range 30 { // more than there is room for: each frees its place
		r, _ := http.NewRequest("POST", "https://"+addr+millicast.HookPath, strings.NewReader(attempt))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(millicast.SignatureHeader, millicast.Sign(testSecret, []byte(attempt)))
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Proto != "HTTP/1.1" {
			t.Fatalf("%s %s", resp.Proto, resp.Status)
		}
		dial(t, addr) // and one that never sends its ClientHello
	}
	if open := h.openConns(); open > 10 {
		t.Errorf("%d connections are open", open)
	}
}

func TestACMEAnswersItsOwnDomainsOnly(t *testing.T) {
	config := ACME([]string{"oncue.example"}, "ops@oncue.example", t.TempDir())
	if got := strings.Join(config.NextProtos, " "); got != "http/1.1 acme-tls/1" {
		t.Errorf("protocols %q", got)
	}
	if _, err := config.GetCertificate(&tls.ClientHelloInfo{ServerName: "evil.example"}); err == nil ||
		!strings.Contains(err.Error(), "not configured") {
		t.Errorf("another domain: %v", err)
	}
}

func TestTrustProxies(t *testing.T) {
	for _, tt := range []struct {
		trusted, peer, forwarded, want string
	}{
		{"", "10.0.0.1:5", "1.2.3.4", "10.0.0.1"},
		{"", "127.0.0.1:5", "1.2.3.4", "127.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1:5", "1.2.3.4", "1.2.3.4"},
		{"10.0.0.0/8", "10.0.0.1:5", "6.6.6.6, 1.2.3.4", "1.2.3.4"}, // only what a trusted proxy has added counts
		{"10.0.0.0/8", "10.0.0.1:5", "1.2.3.4, 10.0.0.2", "1.2.3.4"},
		{"10.0.0.0/8", "127.0.0.1:5", "1.2.3.4", "127.0.0.1"},
		{"10.0.0.0/8", "192.168.1.1:5", "1.2.3.4", "192.168.1.1"},
		{"fd00::/8", "[fd00::1]:5", "2001:db8::1", "2001:db8::1"},
		{"10.0.0.0/8", "10.0.0.1:5", "", "10.0.0.1"},
	} {
		var networks []netip.Prefix
		if tt.trusted != "" {
			networks = append(networks, netip.MustParsePrefix(tt.trusted))
		}
		r := httptest.NewRequest("POST", millicast.HookPath, nil)
		r.RemoteAddr = tt.peer
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := TrustProxies(networks)(r); got != tt.want {
			t.Errorf("trusting %q, %s for %q: named %q, want %q", tt.trusted, tt.peer, tt.forwarded, got, tt.want)
		}
	}
}
