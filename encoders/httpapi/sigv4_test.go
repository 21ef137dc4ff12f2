package httpapi

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSigV4 signs the requests that AWS published with their signatures.
func TestSigV4(t *testing.T) {
	text, err := os.ReadFile("testdata/sigv4.txt")
	if err != nil {
		t.Fatal(err)
	}
	signer := sigv4{key: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		region: "us-east-1", service: "service"}
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	cases := strings.Split("\n"+string(text), "\n-- ")[1:]
	if len(cases) < 30 {
		t.Fatalf("there are %d requests", len(cases))
	}
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, " --\n")
		request, want, found := strings.Cut(rest, "\n=> ")
		if !found {
			t.Fatalf("%s has no signature", name)
		}
		head, body, _ := strings.Cut(request, "\n\n")
		lines := strings.Split(head, "\n")
		method, target, _ := strings.Cut(strings.TrimSuffix(lines[0], " HTTP/1.1"), " ")
		path, query, _ := strings.Cut(target, "?")
		req := &http.Request{Method: method, URL: &url.URL{RawQuery: query}, Header: http.Header{}}
		last := ""
		for _, line := range lines[1:] {
			key, value, _ := strings.Cut(line, ":")
			switch {
			case strings.HasPrefix(line, " "): // a folded line, which AWS takes for one more value
				req.Header[last] = append(req.Header[last], line)
			case strings.EqualFold(key, "Host"):
				req.Host = value
			default:
				last = http.CanonicalHeaderKey(key)
				req.Header[last] = append(req.Header[last], value)
			}
		}
		s := signer
		s.token = req.Header.Get("X-Amz-Security-Token")
		s.sign(req, path, []byte(body), at)
		names, signature, _ := strings.Cut(strings.TrimSpace(want), " ")
		full := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + names +
			", Signature=" + signature
		if got := req.Header.Get("Authorization"); got != full {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, full)
		}
	}
}

// TestSigV4AsSent signs what goes over the wire, and keeps the secrets.
func TestSigV4AsSent(t *testing.T) {
	const settings = "auth: aws-sigv4\nusername: AKIDEXAMPLE\npassword: " + password +
		"\nvars: {region: eu-central-1}\naws: {region: '{region}', service: ec2, session_token: 5Qn9session}\n" + ownBox
	var seen *http.Request
	e, _ := serveHandler(t, settings, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		reply(w, `{"state":"off"}`)
	})
	var shown strings.Builder
	e.Trace(func(entry TraceEntry) { shown.WriteString(strings.Join(entry.Headers, "\n")) })
	status(t, e)
	sent := seen.Header.Get("Authorization")
	mustSay(t, sent, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/", "/eu-central-1/ec2/aws4_request, SignedHeaders=host;",
		"x-amz-date;x-amz-security-token, Signature=")
	at, err := time.Parse("20060102T150405Z", seen.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	again := &http.Request{Method: seen.Method, Host: seen.Host, URL: seen.URL, Header: http.Header{}}
	signer := sigv4{"AKIDEXAMPLE", password, seen.Header.Get("X-Amz-Security-Token"), "eu-central-1", "ec2"}
	if signer.sign(again, seen.URL.EscapedPath(), nil, at); again.Header.Get("Authorization") != sent {
		t.Errorf("sent %s, want %s", sent, again.Header.Get("Authorization"))
	}
	if signer.token != "5Qn9session" || bytes.Contains([]byte(shown.String()), []byte("5Qn9session")) {
		t.Errorf("the token is %q; shown is\n%s", signer.token, shown.String())
	}
}
