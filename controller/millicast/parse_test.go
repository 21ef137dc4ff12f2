package millicast

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
)

func TestParseReadsTheDocumentedDelivery(t *testing.T) {
	rec, hook, err := Parse([]byte(vectorBody))
	if err != nil {
		t.Fatal(err)
	}
	wantRec := controller.Record{Account: "ABC123", Stream: "ABC123/myAwesomeStream", Type: "viewerConnection",
		Event: "ViewerAttempt", Sent: vectorTime}
	if d := cmp.Diff(wantRec, rec); d != "" {
		t.Errorf("record (-want +got):\n%s", d)
	}
	want := &controller.Hook{
		Kind: controller.HookAttempt, Account: "ABC123", Name: "myAwesomeStream", At: controller.ByPlatform(vectorTime),
	}
	if d := cmp.Diff(want, hook); d != "" {
		t.Errorf("hook (-want +got):\n%s", d)
	}
}

func TestParseFeeds(t *testing.T) {
	two := 2
	told := controller.ByPlatform(time.UnixMilli(1_700_000_000_000).UTC())
	at := time.UnixMilli(1_700_000_000_123).UTC()
	for _, c := range []struct {
		what, body string
		kind       controller.HookKind
		want       controller.Feed
	}{
		{"started",
			`{"type":"feeds","event":"started","timestamp":1700000000123,"data":{"feedId":"f1","accountId":"A",` +
				`"name":"n","streamId":"A/n","started":1700000000000,"active":true,"sourceId":"main","priority":2}}`,
			controller.HookFeedStarted, controller.Feed{ID: "f1", Started: told,
				SourceID: "main", Priority: &two}},
		{"started, in seconds",
			`{"type":"feeds","event":"started","timestamp":1700000000,"data":{"feedId":"f1","streamId":"A/n",` +
				`"started":1700000000}}`,
			controller.HookFeedStarted, controller.Feed{ID: "f1", Started: told}},
		{"started, optional members of odd shape",
			`{"type":"feeds","event":"started","timestamp":1700000000123,"data":{"feedId":"f1","streamId":"A/n",` +
				`"started":"now","sourceId":null,"priority":1.5}}`,
			controller.HookFeedStarted, controller.Feed{ID: "f1"}},
		{"ended",
			`{"type":"feeds","event":"ended","timestamp":1700000000123,"data":{"feedId":"f1","streamId":"A/n",` +
				`"ended":1700000000000,"active":false}}`,
			controller.HookFeedEnded, controller.Feed{ID: "f1", Ended: told}},
		{"ended, without its time",
			`{"type":"feeds","event":"ended","timestamp":1700000000123,"data":{"feedId":"f1","streamId":"A/n",` +
				`"active":false}}`,
			controller.HookFeedEnded, controller.Feed{ID: "f1", Ended: controller.ByPlatform(at)}},
	} {
		_, hook, err := Parse([]byte(c.body))
		if err != nil || hook == nil {
			t.Errorf("%s: hook %v, error %v", c.what, hook, err)
			continue
		}
		if hook.Kind != c.kind || hook.StreamID() != "A/n" {
			t.Errorf("%s: %s of %s", c.what, hook.Kind, hook.StreamID())
		}
		if d := cmp.Diff(c.want, hook.Feed); d != "" {
			t.Errorf("%s: feed (-want +got):\n%s", c.what, d)
		}
	}
}

// attempt is a ViewerAttempt with the given members of data.
func attempt(data string) string {
	return `{"type":"viewerConnection","event":"ViewerAttempt","timestamp":1727442713604,"data":{` + data + `}}`
}

func TestParseNames(t *testing.T) {
	long := strings.Repeat("ü", 128)
	for _, c := range []struct{ what, data, account, name string }{
		{"name, account and id", `"name":"lobby","accountId":"A","streamId":"A/lobby"`, "A", "lobby"},
		{"id alone, with slashes", `"streamId":"A/lobby/left?x=1"`, "A", "lobby/left?x=1"},
		{"streamName", `"streamName":"lobby","accountId":"A"`, "A", "lobby"},
		{"name before streamName", `"streamName":"b","name":"a","accountId":"A"`, "A", "a"},
		{"an empty name is none", `"name":"","streamName":"b","accountId":"A"`, "A", "b"},
		{"name before the id's tail", `"name":"a","accountId":"A","streamId":"A/b"`, "A", "a"},
		{"no account", `"name":"lobby"`, "", "lobby"},
		{"id without account", `"name":"lobby","streamId":"lobby"`, "", "lobby"},
		{"id that is the account", `"name":"lobby","accountId":"A","streamId":"A"`, "A", "lobby"},
		{"spaces and case", `"name":" Main Stage ","accountId":"A"`, "A", " Main Stage "},
		{"escapes", `"name":"\u00fc\ud83d\ude00\"\\\/","accountId":"A"`, "A", `ü😀"\/`},
		{"escapes in the id", `"streamId":"A\/a\u002fb"`, "A", "a/b"},
		{"escaped key", `"n\u0061me":"lobby","accountId":"A"`, "A", "lobby"},
		{"128 characters", `"name":"` + long + `","accountId":"A"`, "A", long},
		{"numbers and nulls where they do not matter",
			`"name":"lobby","accountId":"A","streamId":null,"x":[1.5e3,{"y":[]}],"started":"soon"`, "A", "lobby"},
	} {
		rec, hook, err := Parse([]byte(attempt(c.data)))
		if err != nil || hook == nil {
			t.Errorf("%s: hook %v, error %v", c.what, hook, err)
			continue
		}
		if hook.Account != c.account || hook.Name != c.name {
			t.Errorf("%s: %q of %q, want %q of %q", c.what, hook.Name, hook.Account, c.name, c.account)
		}
		if want := hook.StreamID(); c.account != "" && rec.Stream != want {
			t.Errorf("%s: record of %q, want %q", c.what, rec.Stream, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := `"name":"lobby","accountId":"A","streamId":"A/lobby"`
	for _, c := range []struct {
		what, body string
		want       error
	}{
		{"nothing", ``, errJSON},
		{"spaces", "  \n", errJSON},
		{"half a body", vectorBody[:100], errJSON},
		{"more behind it", vectorBody + "{}", errJSON},
		{"an array", `[1]`, errNoObject},
		{"bad UTF-8", "{\"type\":\"\xff\"}", errUTF8},
		{"half a surrogate pair", attempt(`"name":"\ud83d"`), errJSON},
		{"a surrogate pair the wrong way round", attempt(`"name":"\ude00\ud83d"`), errJSON},
		{"a bad escape", attempt(`"name":"\x41"`), errJSON},
		{"a raw newline in a string", attempt("\"name\":\"a\nb\""), errJSON},
		{"a comma too many", `{"type":"feeds",}`, errJSON},
		{"a leading zero", `{"timestamp":01}`, errJSON},
		{"a bare word", `{"type":feeds}`, errJSON},
		{"nesting", `{"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, errDepth},
		{"deep nesting", strings.Repeat(`{"a":`, 30_000) + "1" + strings.Repeat("}", 30_000), errDepth},
		{"the same key twice", `{"type":"feeds","type":"media"}`, errTwice},
		{"keys that differ in case", `{"type":"viewerConnection","TYPE":"feeds"}`, errTwice},
		{"keys that differ in an escape", `{"type":"feeds","typ\u0065":"media"}`, errTwice},
		{"a known key in another case", `{"Type":"feeds"}`, errSpelling},
		{"keys that are equal by Unicode's folding", `{"k":1,"\u212a":2}`, errTwice},
		{"the same key twice in data", attempt(good + `,"name":"other"`), errTwice},
		{"keys of data that differ in case", attempt(good + `,"Name":"other"`), errTwice},
		{"too many keys", attempt(manyKeys(65)), errKeys},
		{"no type", `{"event":"ViewerAttempt"}`, errType},
		{"a type that is no string", `{"type":7,"event":"ViewerAttempt"}`, errType},
		{"no event", `{"type":"feeds","timestamp":1727442713604,"data":{` + good + `}}`, errEvent},
		{"no timestamp", `{"type":"viewerConnection","event":"ViewerAttempt","data":{` + good + `}}`, errTimestamp},
		{"a fractional timestamp",
			`{"type":"viewerConnection","event":"ViewerAttempt","timestamp":1727442713604.5,"data":{` + good + `}}`,
			errTimestamp},
		{"a timestamp beyond int64",
			`{"type":"viewerConnection","event":"ViewerAttempt","timestamp":17274427136040000000000,"data":{` + good +
				`}}`, errTimestamp},
		{"a timestamp in words",
			`{"type":"viewerConnection","event":"ViewerAttempt","timestamp":"1727442713604","data":{` + good + `}}`,
			errTimestamp},
		{"a negative timestamp", `{"type":"viewerConnection","event":"ViewerAttempt","timestamp":-5,"data":{` + good +
			`}}`, errTimestamp},
		{"no data", `{"type":"viewerConnection","event":"ViewerAttempt","timestamp":1727442713604}`, errData},
		{"no name", attempt(`"accountId":"A"`), errName},
		{"an id that ends at its slash", attempt(`"streamId":"A/"`), errName},
		{"a name of 129 characters", attempt(`"name":"` + strings.Repeat("ü", 129) + `"`), errNameLong},
		{"a NUL in the name", attempt(`"name":"a\u0000b"`), errNameChar},
		{"a newline in the name", attempt(`"name":"a\nb"`), errNameChar},
		{"an escape character in the name", attempt(`"streamId":"A/a\u001b[2J"`), errNameChar},
		{"no feed id", `{"type":"feeds","event":"started","timestamp":1727442713604,"data":{` + good + `}}`, errFeed},
		{"a type of a thousand letters", `{"type":"` + strings.Repeat("x", 1000) + `"}`, errIdentifier},
	} {
		_, hook, err := Parse([]byte(c.body))
		if err != c.want || hook != nil {
			t.Errorf("%s: error %v, hook %v, want error %v", c.what, err, hook, c.want)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"k` + strings.Repeat("x", i) + `":0`)
	}
	return b.String()
}

func TestParseTakesAnySpellingOfTypeAndEvent(t *testing.T) {
	for spelling, want := range map[string]controller.HookKind{
		"viewerConnection ViewerAttempt":         controller.HookAttempt,
		"viewerConnection viewerAttempt":         controller.HookAttempt,
		"ViewerConnection FIRSTVIEWERCONNECTION": controller.HookFirstViewer,
		"viewerconnection noActiveViewers":       controller.HookNoViewers,
		"viewerConnection somethingNew":          "",
		"Feeds Started":                          controller.HookFeedStarted,
		"feeds ENDED":                            controller.HookFeedEnded,
		"feeds paused":                           "",
		"media started":                          "",
		"transcdoder ACTIVE":                     "",
		"somethingNew ViewerAttempt":             "",
	} {
		typ, event, _ := strings.Cut(spelling, " ")
		rec, hook, err := Parse([]byte(`{"type":"` + typ + `","event":"` + event +
			`","timestamp":1727442713604,"data":{"feedId":"f","streamId":"A/n"}}`))
		if err != nil {
			t.Errorf("%s: %v", spelling, err)
			continue
		}
		var got controller.HookKind
		if hook != nil {
			got = hook.Kind
		}
		if got != want || rec.Type != typ || rec.Event != event || rec.Stream != "A/n" {
			t.Errorf("%s: kind %q, record %s %s of %s, want kind %q", spelling, got, rec.Type, rec.Event,
				rec.Stream, want)
		}
	}
}

func TestParseKeepsWhatItDoesNotKnow(t *testing.T) {
	for _, body := range []string{
		`{"type":"brandNew"}`,
		`{"type":"brandNew","event":7,"timestamp":"yesterday","data":[1,2]}`,
		`{"type":"brandNew","event":"x","timestamp":null,"data":{"name":7,"accountId":{},"streamId":[]}}`,
	} {
		rec, hook, err := Parse([]byte(body))
		if err != nil || hook != nil || rec.Type != "brandNew" {
			t.Errorf("%s: record %v, hook %v, error %v", body, rec, hook, err)
		}
	}
}

func TestParseReadsWhatNewMessageWrites(t *testing.T) {
	sent := time.UnixMilli(1_800_000_000_500).UTC()
	for _, event := range EventNames() {
		m, err := NewMessage(event, "A", `a/b?<"ü`, "id-1", sent)
		if err != nil {
			t.Fatal(err)
		}
		rec, hook, err := Parse(m.Body())
		if err != nil {
			t.Errorf("%s: %v", event, err)
			continue
		}
		if rec.Type+"."+rec.Event != event || !rec.Sent.Equal(sent) {
			t.Errorf("%s: record %s %s at %s", event, rec.Type, rec.Event, rec.Sent)
		}
		moving := m.Type == TypeViewers || m.Type == TypeFeeds
		if (hook != nil) != moving {
			t.Errorf("%s: hook %v", event, hook)
		}
		if hook != nil && hook.StreamID() != `A/a/b?<"ü` {
			t.Errorf("%s: hook of %s", event, hook.StreamID())
		}
	}
	if got := string(ViewerMessage(controller.HookAttempt, "ABC123", "myAwesomeStream",
		vectorTime).Body()); got != vectorBody {
		t.Errorf("the documented delivery, rebuilt: %s", got)
	}
	if _, err := NewMessage("ViewerAtempt", "A", "n", "", sent); err == nil ||
		!strings.Contains(err.Error(), "viewerConnection.ViewerAttempt") {
		t.Errorf("a misspelt event: error %v, want one that lists the events", err)
	}
}

func TestHookOfReadsTheJournal(t *testing.T) {
	received := vectorTime.Add(100 * time.Millisecond)
	hook, ok := HookOf(controller.Record{Account: "ABC123", Type: "viewerConnection", Received: received,
		Body: []byte(attempt(`"name":"lobby"`))})
	want := controller.Hook{
		Kind: controller.HookAttempt, Account: "ABC123", Name: "lobby", At: controller.ByPlatform(vectorTime),
		Received: received,
	}
	if d := cmp.Diff(want, hook); !ok || d != "" {
		t.Errorf("ok %v, hook (-want +got):\n%s", ok, d)
	}
	for _, rec := range []controller.Record{{Type: TypeThumbnail}, {Type: "media", Body: []byte(`{"type":"media"}`)},
		{Body: []byte("{")}} {
		if _, ok := HookOf(rec); ok {
			t.Errorf("record %v gave a hook", rec)
		}
	}
}

// The scanner must agree with encoding/json on what JSON is, and on what a hook says wherever both
// accept it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(vectorBody))
	f.Add([]byte(attempt(`"name":"\ud83d\ude00\u0000\"","accountId":"A"`)))
	f.Add([]byte(attempt(`"streamId":"A/b/c","x":{"y":[1.5e-3,true,null,-0]}`)))
	f.Add(
		[]byte(
			`{"type":"feeds","event":"ended","timestamp":1727442713604,"data":{"feedId":"f","accountId":"A",` +
				`"streamName":"n","active":false}}`))
	f.Add([]byte(" {\t\"a\" : [ ] , \"b\" : { } }\r\n"))
	for _, event := range EventNames() {
		m, err := NewMessage(event, "A", "n", "id", vectorTime)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Body())
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rec, hook, err := Parse(body)
		if !json.Valid(body) && err == nil {
			t.Fatalf("%q is no JSON, and was taken", body)
		}
		// half surrogate pairs are refused on purpose
		if err == errJSON && json.Valid(body) && !bytes.Contains(body, []byte(`\u`)) {
			t.Fatalf("%q is JSON, and was refused", body)
		}
		if err != nil {
			return
		}
		var want struct {
			Type any
			Data json.RawMessage
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if want.Type != rec.Type {
			t.Fatalf("%q: type %q, want %q", body, rec.Type, want.Type)
		}
		if hook == nil {
			return
		}
		var data struct{ Name, StreamName, StreamID, FeedID any }
		if err := json.Unmarshal(want.Data, &data); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if name, ok := data.Name.(string); ok && name != "" && name != hook.Name {
			t.Fatalf("%q: name %q, want %q", body, hook.Name, name)
		}
		if id, ok := data.FeedID.(string); ok && hook.Feed.ID != "" && id != hook.Feed.ID {
			t.Fatalf("%q: feed %q, want %q", body, hook.Feed.ID, id)
		}
	})
}
