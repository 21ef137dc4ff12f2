package httpapi

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
)

var digestField = regexp.MustCompile(`(\w+)=(?:"([^"]*)"|([^,\s]*))`)

// digestGuard asks for digest authentication as in RFC 7616, with a new nonce after every fifth
// request.
func digestGuard(algorithm, user, pw string) func(http.ResponseWriter, *http.Request) bool {
	var uses atomic.Int64
	sum := func(parts ...string) string {
		var h hash.Hash = md5.New()
		if algorithm == "SHA-256" {
			h = sha256.New()
		}
		_, _ = h.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h.Sum(nil))
	}
	return func(w http.ResponseWriter, r *http.Request) bool {
		nonce := fmt.Sprintf("nonce%d", uses.Load()/5)
		if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Digest "); ok {
			f := map[string]string{}
			for _, m := range digestField.FindAllStringSubmatch(text, -1) {
				f[m[1]] = m[2] + m[3]
			}
			want := sum(sum(user, "box", pw), nonce, f["nc"], f["cnonce"], "auth", sum(r.Method, r.URL.RequestURI()))
			if f["response"] == want && f["username"] == user {
				uses.Add(1)
				return true
			}
		}
		w.Header().Set("WWW-Authenticate",
			fmt.Sprintf(`Digest realm="box", nonce=%q, qop="auth,auth-int", algorithm=%s, stale=true`, nonce,
				algorithm))
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
}
