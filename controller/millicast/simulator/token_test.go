package simulator

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

const tokensPath = "/api/publish_token"

// tokenPath is the path of a token in version 1 of the API, or in version 2.
func tokenPath(version string, id any) string {
	return fmt.Sprintf("/api%s/publish_token/%v", version, id)
}

func TestTokensOverTheAPI(t *testing.T) {
	sim, _ := inMemoryAPI(t, Settings{})
	made := ask[object](t, sim, "POST", tokensPath, `{"label":"oncue:lobby","streams":[{"streamName":"lobby"}],
		"enableThumbnails":true,"expires":3600,"priority":3,"allowedOrigins":["*.example.com"],"isActive":false,
		"restream":[{"url":"rtmp://example.com/live","key":"abcdef"}]}`)
	for name, want := range map[string]any{
		"label": "oncue:lobby", "isActive": true, "enableThumbnails": true, "record": false, "multisource": true,
		"lowLatencyRtmp": true, "priority": 3.0,
		"allowedIpAddresses": []any{}, "allowedOrigins": []any{"*.example.com"},
		"streams": []any{object{"streamName": "lobby", "isRegex": false}},
	} {
		if d := cmp.Diff(want, made[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	value := made["token"].(string)
	if raw, err := hex.DecodeString(value); err != nil || len(raw) != 32 {
		t.Errorf("the token is not 64 hexadecimal digits: %d characters, %v", len(value), err)
	}
	expires, err := time.Parse(time.RFC3339, made["expiresOn"].(string))
	if left := time.Until(expires); err != nil || left < 50*time.Minute || left > time.Hour {
		t.Errorf("it expires on %v", made["expiresOn"])
	}

	id := made["id"]
	changed := ask[object](t, sim, "PUT", tokenPath("/v2", id), `{"label":"other","priority":null,"record":null,
		"addTokenStreams":[{"streamName":"cam-[0-9]","isRegex":true}],"removeTokenStreams":["lobby"],"streams":[]}`)
	if changed["label"] != "other" || changed["priority"] != nil || changed["token"] != value ||
		changed["enableThumbnails"] != true {
		t.Errorf("changed to %v", changed)
	}
	if d := cmp.Diff([]any{object{"streamName": "cam-[0-9]", "isRegex": true}}, changed["streams"]); d != "" {
		t.Errorf("streams (-want +got):\n%s", d)
	}
	body := `{"updateAllowedIpAddresses":["10.0.0.0/8"],"refreshToken":true}`
	old := ask[object](t, sim, "PUT", tokenPath("", id), body)
	if d := cmp.Diff([]any{"10.0.0.0/8"}, old["allowedIpAddresses"]); d != "" || old["token"] == value {
		t.Errorf("the token is as before: %v, addresses (-want +got):\n%s", old["token"] == value, d)
	}
	if d := cmp.Diff(old, ask[object](t, sim, "GET", tokenPath("", id), "")); d != "" {
		t.Errorf("read (-changed +read):\n%s", d)
	}
	disabled := ask[object](t, sim, "PATCH", tokensPath+"/disable", fmt.Sprintf(`{"tokenIds":[%v,99]}`, id))
	want := object{"successfulTokens": []any{id}, "failedTokens": []any{
		object{"tokenId": 99.0, "errorMessage": "No publish token with id: 99"},
	}}
	if d := cmp.Diff(want, disabled); d != "" {
		t.Errorf("disabled (-want +got):\n%s", d)
	}
	if ask[object](t, sim, "GET", tokenPath("", id), "")["isActive"] != false {
		t.Error("it is still active")
	}
	if !ask[bool](t, sim, "DELETE", tokenPath("", id), "") || len(sim.Tokens()) != 0 {
		t.Error("it is still there")
	}
}

func TestListsOfTokens(t *testing.T) {
	sim, _ := inMemoryAPI(t, Settings{})
	add := func(label string, streams ...TokenStream) {
		if _, err := sim.AddToken(Token{Label: label, Active: true, Streams: streams}); err != nil {
			t.Fatal(err)
		}
	}
	add("b", TokenStream{"lobby", false})
	add("a", TokenStream{"stage", false}, TokenStream{"lobby-2", false})
	add("lobby-any", TokenStream{".*", true})
	add("c", TokenStream{"lobby/.+", true})
	for query, want := range map[string]string{
		"/list?page=1&itemsOnPage=10":                                                    "a b c lobby-any",
		"/list?page=1&itemsOnPage=10&sortBy=AddedOn&isDescending=true":                   "c lobby-any a b",
		"/list?page=2&itemsOnPage=3":                                                     "lobby-any",
		"/list?page=3&itemsOnPage=3":                                                     "",
		"/list_by_name?page=1&itemsOnPage=10&name=lobby":                                 "a b c",
		"/list_by_name?page=1&itemsOnPage=10&name=lobby&filterBy=TokenName":              "",
		"/list_by_name?page=1&itemsOnPage=10&name=b&filterBy=TokenName":                  "b",
		"/list_by_name?page=1&itemsOnPage=10&name=stage&filterBy=StreamName&sortBy=Name": "a",
	} {
		var got []string
		for _, item := range ask[[]any](t, sim, "GET", tokensPath+query, "") {
			got = append(got, item.(object)["label"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
}

// The API fails with 400, whatever is wrong, and its data is an object.
func TestTokenRefusals(t *testing.T) {
	sim, _ := inMemoryAPI(t, Settings{Token: secret.New("s3cret")})
	const base = `{"label":"a","streams":[{"streamName":"a"}],`
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", tokenPath("", 99), "", "map[tokenId:No publish token with id: 99]"},
		{"DELETE", tokenPath("", 99), "", "map[tokenId:No publish token with id: 99]"},
		{"PUT", tokenPath("/v2", 99), `{"label":"x"}`, "map[tokenId:No publish token with id: 99]"},
		{"PUT", tokenPath("/v2", 1), `{}`, "map[token:No properties specified to update.]"},
		{"PUT", tokenPath("/v2", 1), `{"isActive":"no"}`, "isActive must be true or false"},
		{"PUT", tokenPath("/v2", 1), `{"removeTokenStreams":[".*"]}`, "at least one item"},
		{"GET", tokenPath("", "x"), "", "The value 'x' is not valid."},
		{"POST", tokensPath, `{"streams":[{"streamName":"a"}]}`, "The field label must be"},
		{"POST", tokensPath, `{"label":"a","streams":[]}`, "at least one item"},
		{"POST", tokensPath, `{"label":"a"`, "not the JSON"},
		{"POST", tokensPath, `{"label":"a","streams":[{"streamName":"(","isRegex":true}]}`, "not a regular expression"},
		{"POST", tokensPath, base + `"allowedIpAddresses":["10.0.0.*"]}`, "neither an IPv4"},
		{"POST", tokensPath, base + `"record":true,"clip":true}`, "Clip cannot"},
		{"POST", tokensPath, base + `"expires":0}`, "between 1 and 2147483647"},
		{"POST", tokensPath, base + `"label":"` + strings.Repeat("ä", 129) + `"}`, "from 1 to 128"},
		{"GET", tokensPath + "/list?itemsOnPage=5", "", "A value for the 'page' parameter or property was not"},
		{"GET", tokensPath + "/list?page=1&itemsOnPage=101", "", "The field ItemsOnPage must be between 1 and 100."},
		{"GET", tokensPath + "/list_by_name?page=1&itemsOnPage=5", "", "The Name field is required."},
		{"GET", tokensPath + "/list_by_name?page=1&itemsOnPage=5&name=a&filterBy=X", "", "The value 'X' is not valid"},
		{"GET", tokensPath + "/active", "", "StreamId"},
		{"PATCH", tokensPath + "/disable", `{}`, "at least one item"},
		{"POST", "/api/stream/reprioritize", `{"tokenId":99,"updatePriority":1}`, "No publish token with id: 99"},
	} {
		status, answer := call(t, sim, c.method, c.path, c.body)
		if got := fmt.Sprint(answer["data"]); status != http.StatusBadRequest || !strings.Contains(got, c.want) {
			t.Errorf("%s %s %s: %d %v, want %s", c.method, c.path, c.body, status, answer, c.want)
		}
	}
	if got := sim.Tokens(); len(got) != 1 || !got[0].Active || len(got[0].Streams) != 1 {
		t.Errorf("a refused change left %+v", got)
	}
}

func TestWhoMayPublishWithAToken(t *testing.T) {
	one := 1
	now := time.Now()
	for name, c := range map[string]struct {
		token Token
		want  error
		other string // a second publisher's address, judged after the first
	}{
		"as made":         {},
		"disabled":        {token: Token{Label: "off"}, want: errTokenDisabled},
		"expired":         {token: Token{Expires: now}, want: errTokenExpired},
		"not yet expired": {token: Token{Expires: now.Add(time.Second)}},
		"another stream": {
			token: Token{Streams: []TokenStream{{"Lobby", false}, {"lobb.", false}}}, want: errTokenStream,
		},
		"a pattern":         {token: Token{Streams: []TokenStream{{"other", false}, {"lobb.", true}}}},
		"a part of it":      {token: Token{Streams: []TokenStream{{"obb", true}}}, want: errTokenStream},
		"its address":       {token: Token{AllowedIPs: []string{"10.1.1.1", "127.0.0.1"}}},
		"its network":       {token: Token{AllowedIPs: []string{"127.0.0.0/8"}}},
		"another address":   {token: Token{AllowedIPs: []string{"127.0.0.2"}}, want: errTokenAddress},
		"bound to another":  {token: Token{BindIPs: &one}, other: "127.0.0.2:9", want: errTokenAddress},
		"bound to the same": {token: Token{BindIPs: &one}, other: "127.0.0.1:9"},
		"of other origins":  {token: Token{AllowedOrigins: []string{"example.com"}}},
	} {
		if c.token.Label == "" {
			c.token.Label, c.token.Active = "on", true
		}
		if c.token.Streams == nil {
			c.token.Streams = []TokenStream{{"lobby", false}}
		}
		var l tokens
		made, err := l.add(c.token, now)
		if err != nil {
			t.Fatal(err)
		}
		p := &rtmp.Publisher{Name: "lobby", Remote: "127.0.0.1:1", Token: secret.New("other")}
		if _, err := l.admit(p, now, true); err != errTokenUnknown {
			t.Errorf("%s: another token: %v", name, err)
		}
		p.Token = made.Value
		_, err = l.admit(p, now, true)
		if c.other != "" && err == nil {
			p.Remote = c.other
			_, err = l.admit(p, now, true)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := l.admit(p, now, false); c.want == errTokenAddress && err != nil {
			t.Errorf("%s, where addresses do not matter: %v", name, err)
		}
	}
}

func TestFFmpegIsRefusedByItsToken(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{Token: secret.New("aabbccdd")})
	made := ask[object](t, sim, "POST", tokensPath, `{"label":"lobby","streams":[{"streamName":"lobby"}]}`)
	value, path := made["token"].(string), tokenPath("/v2", made["id"])
	base := strings.Replace(sim.RTMPURL("lobby"), "aabbccdd", value, 1)
	short := base64.RawURLEncoding.EncodeToString([]byte{0xaa, 0xbb, 0xcc, 0xdd})
	refused := func(url, want string) {
		t.Helper()
		cmd, stderr := publish(t, url)
		if cmd.Wait() == nil || !strings.Contains(stderr.String(), want) {
			t.Errorf("ffmpeg's stderr does not say %q: %s", want, stderr)
		}
	}
	refused(strings.Replace(base, "/lobby?", "/stage?", 1), errTokenStream.Error())
	refused(base+"&t="+short, "one is enough")
	refused(strings.Replace(base, "token="+value, "t=!", 1), "base64url")
	ask[object](t, sim, "PUT", path, `{"allowedIpAddresses":["10.0.0.1"]}`)
	refused(base, errTokenAddress.Error())
	ask[object](t, sim, "PUT", path, `{"allowedIpAddresses":[],"isActive":false}`)
	refused(base, errTokenDisabled.Error())
	ask[object](t, sim, "PUT", path, `{"isActive":true,"refreshToken":true}`)
	refused(base, errTokenUnknown.Error())
	if got := rec.events(""); got != "" {
		t.Errorf("hooks = %q", got)
	}
	publish(t, strings.Replace(sim.RTMPURL("lobby"), "token=aabbccdd", "t="+short, 1))
	until(t, sim, "a picture", func() bool { return !sim.Truth("lobby").FirstVideo.IsZero() })
	if got := sim.Truth("lobby").Feeds[0].TokenID; got != 1 {
		t.Errorf("the feed has token %d", got)
	}
}

func TestWhatEndsTheFeedsOfAToken(t *testing.T) {
	for _, cuts := range []bool{false, true} {
		for name, c := range map[string]struct {
			do   func(*Simulator, any) // with a token's id
			ends bool
		}{
			"delete": {func(sim *Simulator, id any) { ask[bool](t, sim, "DELETE", tokenPath("", id), "") }, true},
			"disable": {func(sim *Simulator, id any) {
				ask[object](t, sim, "PATCH", tokensPath+"/disable", fmt.Sprintf(`{"tokenIds":[%v]}`, id))
			}, cuts},
			"disable by change": {func(sim *Simulator, id any) {
				ask[object](t, sim, "PUT", tokenPath("/v2", id), `{"isActive":false}`)
			}, cuts},
			"refresh": {func(sim *Simulator, id any) {
				ask[object](t, sim, "PUT", tokenPath("/v2", id), `{"refreshToken":true}`)
			}, cuts},
			"relabel": {func(sim *Simulator, id any) {
				ask[object](t, sim, "PUT", tokenPath("/v2", id), `{"label":"x"}`)
			}, false},
			"reprioritize": {func(sim *Simulator, id any) {
				body := fmt.Sprintf(`{"tokenId":%v,"updatePriority":5}`, id)
				ask[object](t, sim, "POST", "/api/stream/reprioritize", body)
			}, true},
		} {
			sim, _ := inMemoryAPI(t, Settings{Behaviour: Behaviour{RevokingCuts: cuts}})
			made, err := sim.AddToken(Token{Label: "a", Active: true, Streams: []TokenStream{{"lobby", false}}})
			if err != nil {
				t.Fatal(err)
			}
			sim.openWith(made.ID, "lobby")
			sim.OpenFeed("stage", "", nil)
			want := []any{float64(made.ID)}
			for _, path := range []string{"/active?streamId=ABC123/lobby", "/active/all"} {
				if d := cmp.Diff(want, ask[object](t, sim, "GET", tokensPath+path, "")["tokenIds"]); d != "" {
					t.Errorf("%s (-want +got):\n%s", path, d)
				}
			}
			got := ask[object](t, sim, "GET", tokensPath+"/active?streamId=ABC123/stage", "")["tokenIds"]
			if len(got.([]any)) != 0 {
				t.Errorf("active tokens of a stream without: %v", got)
			}
			status, _ := call(t, sim, "PUT", tokenPath("/v2", made.ID), `{"record":true}`)
			if status != http.StatusBadRequest {
				t.Errorf("record was changed under a live feed")
			}
			c.do(sim, made.ID)
			if got := !sim.Truth("lobby").Live; got != c.ends || !sim.Truth("stage").Live {
				t.Errorf("%s, cuts %v: ended is %v", name, cuts, got)
			}
		}
	}
}

func TestTheURLsPriorityBeatsTheTokens(t *testing.T) {
	four, nine := 4, 9
	sim, _ := inMemoryAPI(t, Settings{})
	made, err := sim.AddToken(Token{
		Label: "a", Active: true, Priority: &four, Streams: []TokenStream{{"lobby", false}},
	})
	if err != nil {
		t.Fatal(err)
	}
	token := sim.tokens.find(made.ID)
	for _, c := range []struct {
		asked contribution
		want  int
	}{{contribution{source: "x"}, four}, {contribution{source: "x", priority: &nine}, nine}} {
		f := newFeed(&stream{name: "lobby"}, nil, c.asked, token)
		if *f.seen.Priority != c.want || f.seen.SourceID != "" {
			// Without multi-source on the token there is no source.
			t.Errorf("the feed is %+v, want priority %d and no source", f.seen, c.want)
		}
	}
}
