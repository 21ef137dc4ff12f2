package millicast

import (
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
)

func TestParseSignature(t *testing.T) {
	hex := strings.TrimPrefix(vectorSignature, "sha1=")
	for _, c := range []struct {
		what, text string
		ok         bool
	}{
		{"as documented", vectorSignature, true},
		{"empty", "", false},
		{"prefix alone", "sha1=", false},
		{"without prefix", hex, false},
		{"other prefix", "sha2=" + hex, false},
		{"upper-case prefix", "SHA1=" + hex, false},
		{"upper-case digits", "sha1=" + strings.ToUpper(hex), false},
		{"one digit short", vectorSignature[:44], false},
		{"one digit long", vectorSignature + "0", false},
		{"half", vectorSignature[:25], false},
		{"no hex digit", vectorSignature[:44] + "g", false},
		{"space before", " " + vectorSignature, false},
		{"space behind", vectorSignature + " ", false},
		{"two in one", vectorSignature + "," + vectorSignature, false},
		{"non-ASCII digits", "sha1=" + strings.Repeat("é", 20), false},
	} {
		if _, ok := parseSignature(c.text); ok != c.ok {
			t.Errorf("%s: parseSignature(%q) = %v, want %v", c.what, c.text, ok, c.ok)
		}
	}
}

func TestVerifyTriesEverySecretOfEveryAccount(t *testing.T) {
	ring, err := newKeyring(map[string][]secret.Value{
		"A": {secretOf("a-first"), secretOf("a-second"), secretOf("shared")},
		"B": {secretOf("b-first"), secretOf("shared")},
	})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"some":"body"}`)
	for _, c := range []struct{ signer, want string }{
		{"a-first", "A/0"}, {"a-second", "A/1"}, {"b-first", "B/0"}, {"shared", "A/2 B/1"}, {"stranger", ""},
	} {
		sig, ok := parseSignature(Sign(secretOf(c.signer), body))
		if !ok {
			t.Fatalf("%s: Sign gave no signature", c.signer)
		}
		var got []string
		for _, k := range ring.verify(sig, body) {
			got = append(got, k.account+"/"+string(rune('0'+k.index)))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("signed by %s: verified by %q, want %q", c.signer, s, c.want)
		}
		if found := ring.verify(sig, append(body, ' ')); len(found) != 0 {
			t.Errorf("signed by %s: one more byte still verifies", c.signer)
		}
	}
}

func TestCheckSecretNamesTheMistakeAndNotTheSecret(t *testing.T) {
	for _, c := range []struct{ secret, want string }{
		{vectorSecret, ""},
		{"", "webhook secret: it is empty"},
		{"not-base64-at-all!", "webhook secret: it is not base64; copy it as the platform shows it"},
		// padding lost
		{"c2VjcmV0LWtleS1mb3ItdGVzdHM", "webhook secret: it is not base64; copy it as the platform shows it"},
		{"c2hvcnQ=", ""}, // the platform chooses the length of a secret
	} {
		got := ""
		if err := CheckSecret(secret.New(c.secret)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("CheckSecret(%q) = %q, want %q", c.secret, got, c.want)
		}
	}
	if got := Sign(secret.New("%%%"), []byte("x")); got != "" {
		t.Errorf("Sign with a secret that is not base64 = %q, want nothing", got)
	}
}
