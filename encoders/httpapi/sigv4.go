package httpapi

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// sigv4 signs requests as AWS wants it: Signature Version 4, in headers
// (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). It is for all services but S3,
// which wants paths escaped otherwise.
type sigv4 struct{ key, secret, token, region, service string }

// sign adds the headers to a request that is otherwise complete. escaped is its path as it is sent.
func (s sigv4) sign(req *http.Request, escaped string, body []byte, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	req.Header.Set("X-Amz-Date", stamp)
	if s.token != "" {
		req.Header.Set("X-Amz-Security-Token", s.token)
	}
	headers, names := canonicalHeaders(req)
	canonical := strings.Join([]string{
		req.Method, canonicalPath(escaped), canonicalQuery(req.URL.RawQuery), headers, names, sumHex(body),
	}, "\n")
	scope := strings.Join([]string{stamp[:8], s.region, s.service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, sumHex([]byte(canonical))}, "\n")
	sum := []byte("AWS4" + s.secret)
	for _, part := range append(strings.Split(scope, "/"), text) {
		mac := hmac.New(sha256.New, sum)
		mac.Write([]byte(part))
		sum = mac.Sum(nil)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.key+"/"+scope+", SignedHeaders="+names+
		", Signature="+hex.EncodeToString(sum))
}

func sumHex(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// canonicalHeaders lists the headers that are signed: all that a proxy has no reason to change.
func canonicalHeaders(req *http.Request) (lines, names string) {
	values := map[string][]string{"host": {cmp.Or(req.Host, req.URL.Host)}}
	all := []string{"host"}
	for name, list := range req.Header {
		if name = strings.ToLower(name); name != "user-agent" && name != "authorization" {
			values[name] = list
			all = append(all, name)
		}
	}
	slices.Sort(all)
	for _, name := range all {
		plain := make([]string, len(values[name]))
		for i, value := range values[name] {
			plain[i] = strings.Join(strings.Fields(value), " ")
		}
		lines += name + ":" + strings.Join(plain, ",") + "\n"
	}
	return lines, strings.Join(all, ";")
}

// canonicalPath escapes what is escaped already once more, as all services but S3 do.
func canonicalPath(escaped string) string {
	clean := path.Clean("/" + escaped)
	if strings.HasSuffix(escaped, "/") && clean != "/" {
		clean += "/"
	}
	return strings.ReplaceAll(awsEscape(clean), "%2F", "/")
}

func canonicalQuery(raw string) string {
	var pairs [][2]string
	for _, pair := range strings.Split(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, [2]string{awsEscape(unescape(name)), awsEscape(unescape(value))})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	parts := make([]string, len(pairs))
	for i, p := range pairs {
		parts[i] = p[0] + "=" + p[1]
	}
	return strings.Join(parts, "&")
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// awsEscape leaves letters, digits and -._~ as they are.
func awsEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
