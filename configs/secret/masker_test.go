package secret_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
)

// TestLooks masks secrets that the masker does not know.
func TestLooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		// what cameras use
		{"rtsp://10.0.0.7/videoMain?usr=admin&pwd=S3", "rtsp://10.0.0.7/videoMain?usr=admin&pwd=********"},
		{"rtsp://h/1?user=admin&password=S3&channel=1", "rtsp://h/1?user=admin&password=********&channel=1"},
		{"rtsp://h:554/user=admin_password=S3x_channel=1_stream=0.sdp", "rtsp://h:554/user=admin_password=********"},
		{"http://h/videostream.cgi?loginuse=admin&loginpas=S3",
			"http://h/videostream.cgi?loginuse=admin&loginpas=********"},
		{"http://h/live.m3u8?access_token=S3&x=1", "http://h/live.m3u8?access_token=********&x=1"},
		{"http://h/x?pass=S3&a=1 http://h/x?psw=S3 x?user=a&p=S3",
			"http://h/x?pass=********&a=1 http://h/x?psw=******** x?user=a&p=********"},
		{"rtsp://admin:S3@10.0.0.7/1", "rtsp://********@10.0.0.7/1"},
		{"rtsp://admin:S3@x@10.0.0.7/1", "rtsp://********@10.0.0.7/1"},
		{"rtsp://admin:S3/x@10.0.0.7/1", "rtsp://********@10.0.0.7/1"},
		{"rtmp://tok3n@h/app", "rtmp://********@h/app"},
		{"srt://h:1?passphrase=S3&streamid=#!::r=x,s=S3&mode=caller",
			"srt://h:1?passphrase=********&streamid=********&mode=caller"},
		{"srt://h:1?streamid=lobby%3Ft%3DS3%26e", "srt://h:1?streamid=********"},
		{"/go?to=http%3A%2F%2Fh%2F%3Ftoken%3DS3", "/go?to=http%3A%2F%2Fh%2F%3Ftoken%3D********"},
		{"https://h/whip?auth=S3: refused", "https://h/whip?auth=********: refused"},
		{"Impossible to open 'rtsp://u:S3@h/1'", "Impossible to open 'rtsp://********@h/1'"},
		{"https://s3.example/c.mp4?X-Amz-Signature=S3&X-Amz-Credential=A%2FB",
			"https://s3.example/c.mp4?X-Amz-Signature=********&X-Amz-Credential=********"},
		{"https://h/a;sid=S3?key=S3&st=1~hmac=S3", "https://h/a;sid=********&st=1~hmac=********"},
		// headers, fields, elements, options
		{"Authorization: Bearer S3.x", "Authorization: Bearer ********"},
		{"-headers 'Authorization: Basic S3' -i x", "-headers 'Authorization: Basic ********' -i x"},
		{"Authorization: Digest username=\"a\", response=\"S3\"", "Authorization: ********"},
		{"Cookie: a=S3; b=S3\r\nAccept: x", "Cookie: ********\r\nAccept: x"},
		{"X-Api-Key: S3\nX-Auth-Token: S3 S3\nHost: h", "X-Api-Key: ********\nX-Auth-Token: ********\nHost: h"},
		{`{"user":"a","password":"S\"3","n":{"pin": 1234},"channel": 3}`,
			`{"user":"a","password":"********","n":{"pin": ********},"channel": 3}`},
		{"<login><user>a</user><ns:password>S3</ns:password></login>",
			"<login><user>a</user><ns:password>********</ns:password></login>"},
		{`gst-launch --api-token S3 -password "S3 x" -i x`,
			`gst-launch --api-token ******** -password "********" -i x`},
		{`sent password="S3 and S3" to it`, `sent password="********" to it`},
		{"it sent bearer abcdef123", "it sent bearer ********"},
		{"id eyJhbGciOi.eyJzdWIi.sig-na_ture.", "id ********."},
		// no secrets
		{"rtsp://10.0.0.7:554/a@b?channel=1", "rtsp://10.0.0.7:554/a@b?channel=1"},
		{"write https://HOST/PATH?token=… or rtmp://h/a?token={publish_token}",
			"write https://HOST/PATH?token=… or rtmp://h/a?token={publish_token}"},
		{"token=${LOBBY_TOKEN} and password=********", "token=${LOBBY_TOKEN} and password=********"},
		{"time=00:00:01.00 bitrate=1 keyint=250 author=me code=401 size=1",
			"time=00:00:01.00 bitrate=1 keyint=250 author=me code=401 size=1"},
		{"the key: wrong; api_secret: is missing; the token expired",
			"the key: wrong; api_secret: is missing; the token expired"},
		{"lobby plays", "lobby plays"},
	} {
		if got := (*secret.Masker)(nil).Mask(c.in); got != c.want {
			t.Errorf("Mask(%q)\n got %q\nwant %q", c.in, got, c.want)
		}
		if got := (*secret.Masker)(nil).Mask(c.want); got != c.want {
			t.Errorf("masked twice: %q gives %q", c.want, got)
		}
	}
}

// TestKnown masks known secrets, in every form and next to any text.
func TestKnown(t *testing.T) {
	t.Parallel()
	m := secret.NewMasker()
	m.Spare("cam-stage")
	for _, s := range []string{
		"rtmps://host/app/{stream}?token=tok/en+1234", `quo"ted-secret`, "abcd", "MDEyMzQ1Njc4OWFiY2RlZg==", "not",
		"overlap", "laptop",
		"srt://h:1?streamid=cam-stage%3Ft%3Dabc-defg%26e&passphrase=open%20sesame",
	} {
		m.Know(s)
	}
	m.KnowAs("from-the-env", "${NAME}")
	m.Learn("rtsp://admin:camera-pw@10.0.0.7/user=x_password=tlJwpbo6_channel=1")
	digest := fmt.Sprintf("%x", md5.Sum([]byte("camera-pw")))
	for _, c := range []struct{ in, want string }{
		{"publish: rtmps://host/app/{stream}?token=tok/en+1234", "publish: ********"},
		{"sent tok%2Fen%2B1234, tok%2fen%2b1234, xtok/en+1234y", "sent ********, ********, x********y"},
		{`{"v":"quo\"ted-secret"}`, `{"v":"********"}`},
		{"abcd abcde xabcd (abcd) a_abcd_b %3Dabcd", "******** abcde xabcd (********) a_********_b %3D********"},
		{"it is not there", "it is not there"},
		{"key MDEyMzQ1Njc4OWFiY2RlZg==.", "key ********."},
		{"x overlaptop x", "x ******** x"},
		{"with open sesame, open%20sesame", "with ********, ********"},
		{"t abc-defg of cam-stage", "t ******** of cam-stage"},
		{"${file:x} or from-the-env", "${file:x} or ${NAME}"},
		{"camera-pw and tlJwpbo6, not admin", "******** and ********, not admin"},
		{digest + " " + strings.ToUpper(digest), "******** ********"},
		{base64.StdEncoding.EncodeToString([]byte("camera-pw")), "********"},
	} {
		if got := m.Mask(c.in); got != c.want {
			t.Errorf("Mask(%q)\n got %q\nwant %q", c.in, got, c.want)
		}
		if m.Holds(c.in) != (c.in != c.want) {
			t.Errorf("Holds(%q) is %t", c.in, m.Holds(c.in))
		}
	}
}

// TestBlank overwrites secrets in place.
func TestBlank(t *testing.T) {
	t.Parallel()
	m := secret.NewMasker(secret.New("hush-hush"))
	text := []byte("a hush-hush b rtsp://u:pw@h/1\n")
	if !m.Blank(text) || string(text) != "a ********* b rtsp://****@h/1\n" {
		t.Errorf("it is %q", text)
	}
	if m.Blank(text) {
		t.Errorf("there is still one in %q", text)
	}
}

// FuzzMasker hides the password of an RTSP URL and a token in any sentence: known ones wherever
// they stand, unknown ones in the places where secrets stand.
func FuzzMasker(f *testing.F) {
	f.Add("camera-pw", "tok/en+1234", "Connection to ", " refused")
	f.Add("p%40ss:w", "aaaaaa", "aaa", "aaa")
	f.Add("overlap", "laptop", "over", "top=")
	f.Fuzz(func(t *testing.T, password, token, before, after string) {
		for _, s := range []string{password, token} {
			// The mask itself, and what stands around it here, would be found as a secret of the
			// same text.
			if len(s) < 6 || strings.Contains("rtsp://admin:********@10.0.0.7/1?pwd=******** token=********", s) ||
				strings.Contains(s, "*") ||
				strings.Contains(before, s) || strings.Contains(after, s) {
				t.Skip()
			}
		}
		address := "rtsp://admin:" + url.QueryEscape(password) + "@10.0.0.7/1?pwd=" + url.QueryEscape(token)
		m := secret.NewMasker(secret.New(token))
		m.Learn(address)
		for _, text := range []string{
			before + password + after, before + token + after, before + url.PathEscape(token) + after,
			before + password + token + after,
			before + address + " " + after,
		} {
			got := m.Mask(text)
			for _, s := range []string{password, token} {
				if strings.Contains(got, s) && !strings.Contains(strings.ReplaceAll(text, s, ""), s) {
					t.Errorf("%q stands in %q, masked from %q", s, got, text)
				}
			}
			m.Blank([]byte(text))
		}
		unknown := before + " " + address + " token=" + url.QueryEscape(token) + " " + after
		got := (*secret.Masker)(nil).Mask(unknown)
		for _, s := range []string{"admin:" + url.QueryEscape(password), "=" + url.QueryEscape(token)} {
			if strings.Contains(got, s) && !strings.Contains(before+" "+after, s) {
				t.Errorf("%q stands in %q, masked from %q by its looks", s, got, unknown)
			}
		}
	})
}

// TestReferred says which values of references are secrets.
func TestReferred(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		before, value, after string
		want                 bool
	}{
		{"", "hunter2", "", true},
		{"", "evening-show", "", true},
		{"", "/9j4AAQSkZJRg", "", true},
		{"rtsp://admin:", "camera-pw", "@10.0.0.7/1", true},
		{"rtsp://", "tok3n-user", "@10.0.0.7/1", true},
		{"rtsp://10.0.0.7/", "cHJpdmF0ZQ", "/1", true},
		{"http://h/1?x=", "cHJpdmF0ZQ", "", true},
		{"", "rtsp://10.0.0.7/1", "", true},
		{"", "rtsp://10.0.0.7/?a=b", "", true},
		{"", "rtsp://a:b@10.0.0.7", "", true},
		{"", "12345", "", false}, // its looks tell where it is a password
		{"rtsp://", "cam-lobby.example", "/1", false},
		{"rtsp://admin:x@", "cam-lobby.example", ":554/1", false},
		{"rtsp://h:", "800000", "/1", false},
		{"", "studio.example", ":4455", false},
		{"", "studio.example:4455", "", false},
		{"", "10.0.0.10", "", false},
		{"", "http://10.0.0.10:80/", "", false},
		{"", t.TempDir(), "", false},
	} {
		if got := secret.Referred(c.before+c.value+c.after, len(c.before), len(c.before)+len(c.value)); got != c.want {
			t.Errorf("%q between %q and %q is a secret: %t", c.value, c.before, c.after, got)
		}
	}
}

// A publishing token is written in hexadecimal, but in the URLs of SRT in base64url: who knows one
// form must not read the other.
func TestTokensAreMaskedInBothForms(t *testing.T) {
	raw := []byte("\xfb\xff\x00 a token of 32 random bytes..")
	forms := []string{
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), base64.RawURLEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), url.QueryEscape(base64.StdEncoding.EncodeToString(raw)),
	}
	for _, known := range []string{forms[0], forms[2], "srt://h:10000?streamid=lobby%3Ft%3D" + forms[2]} {
		m := secret.NewMasker(secret.New(known))
		for _, form := range forms {
			if got := m.Mask("no key here, but " + form + "/x"); strings.Contains(got, form[4:20]) {
				t.Errorf("who knows %s sees %s", known, got)
			}
		}
	}
}

// BenchmarkMasker knows the publishing URLs of a large installation, and masks a line.
func BenchmarkMasker(b *testing.B) {
	values := make([]secret.Value, 10_000)
	for i := range values {
		values[i] = secret.New(fmt.Sprintf("rtmps://rtmp-auto.millicast.com:443/v2/pub/stream-%d?token=%032x", i,
			i*7919))
	}
	b.Run("know", func(b *testing.B) {
		for b.Loop() {
			secret.NewMasker(values...)
		}
	})
	m := secret.NewMasker(values...)
	b.Run("mask", func(b *testing.B) {
		for b.Loop() {
			m.Mask("[rtmp @ 0x55bc2d82da80] [error] Cannot open rtmps://rtmp-auto.millicast.com:443/v2/pub/stream: " +
				"Input/output error")
		}
	})
}
