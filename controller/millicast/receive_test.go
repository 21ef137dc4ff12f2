package millicast

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

func TestReceiveTakesTheDocumentedDelivery(t *testing.T) {
	g := newRig(t, oneAccount())
	d := delivery("application/json; charset=utf-8", []byte(vectorBody), vectorSignature)
	d.Received = vectorTime.Add(50 * time.Millisecond)
	verdict, err := g.Receive(t.Context(), d)
	if err != nil || verdict != controller.Accepted {
		t.Fatalf("verdict %q, error %v", verdict, err)
	}
	wantRec := []controller.Record{{
		Seq: 1, Received: d.Received, Sent: vectorTime, Account: "ABC123", Stream: "ABC123/myAwesomeStream",
		Type: "viewerConnection", Event: "ViewerAttempt", Verdict: controller.Accepted,
		Size: len(vectorBody), Sum: sha256.Sum256([]byte(vectorBody)), Body: []byte(vectorBody),
	}}
	if d := cmp.Diff(wantRec, g.journaled()); d != "" {
		t.Errorf("journal (-want +got):\n%s", d)
	}
	wantHook := []controller.Hook{{Kind: controller.HookAttempt, Account: "ABC123", Name: "myAwesomeStream",
		At: controller.ByPlatform(vectorTime), Received: d.Received}}
	if d := cmp.Diff(wantHook, g.delivered()); d != "" {
		t.Errorf("hooks (-want +got):\n%s", d)
	}
	s := g.Stats()
	if s.Results["accepted"] != 1 || !s.LastHook["ABC123"].Equal(d.Received) || !s.Secrets[0].Last.Equal(d.Received) {
		t.Errorf("stats %+v", s)
	}
}

func TestReceiveRefusesWhatIsNotSigned(t *testing.T) {
	body := []byte(vectorBody)
	other := secretOf("other")
	for _, c := range []struct {
		what string
		d    Delivery
		want error
	}{
		{"no signature", Delivery{Body: body}, ErrSignature},
		{"an empty one", delivery(ContentJSON, body, ""), ErrSignature},
		{"a truncated one", delivery(ContentJSON, body, vectorSignature[:40]), ErrSignature},
		{"upper-case hex", delivery(ContentJSON, body, "sha1="+strings.ToUpper(vectorSignature[5:])), ErrSignature},
		{"two headers, both right", delivery(ContentJSON, body, vectorSignature, vectorSignature), ErrSignature},
		{"two headers, one wrong", delivery(ContentJSON, body, Sign(other, body), vectorSignature), ErrSignature},
		{"a stranger's secret", delivery(ContentJSON, body, Sign(other, body)), ErrSignature},
		{"another body", delivery(ContentJSON, append([]byte(" "), body...), vectorSignature), ErrSignature},
		{"an empty body", delivery(ContentJSON, nil, vectorSignature), ErrSignature},
		{"another account's stream", delivery(ContentJSON, []byte(attempt(`"name":"a","accountId":"XYZ"`)),
			Sign(secret.New(vectorSecret), []byte(attempt(`"name":"a","accountId":"XYZ"`)))), ErrSignature},
		{"another account's stream id", delivery(ContentJSON, []byte(attempt(`"streamId":"XYZ/a"`)),
			Sign(secret.New(vectorSecret), []byte(attempt(`"streamId":"XYZ/a"`)))), ErrSignature},
		{"a form", delivery("application/x-www-form-urlencoded", body, vectorSignature), ErrContentType},
		{"a picture of another kind", delivery("image/png", body, vectorSignature), ErrContentType},
		{"too much JSON", delivery(ContentJSON, bytes.Repeat([]byte(" "), MaxJSON+1), vectorSignature), ErrTooLarge},
		{"too large a JPEG", delivery(ContentJPEG, bytes.Repeat([]byte(" "), MaxJPEG+1), vectorSignature), ErrTooLarge},
	} {
		g := newRig(t, oneAccount())
		verdict, err := g.Receive(t.Context(), c.d)
		if !errors.Is(err, c.want) || verdict != "" {
			t.Errorf("%s: verdict %q, error %v, want error %v", c.what, verdict, err, c.want)
		}
		if len(g.journaled()) != 0 || len(g.delivered()) != 0 {
			t.Errorf("%s: it left a trace", c.what)
		}
		if right := vectorSignature[5:]; strings.Contains(g.logged(), right) ||
			strings.Contains(g.logged(), vectorSecret) {
			t.Errorf("%s: the log tells the right signature or the secret: %s", c.what, g.logged())
		}
	}
}

func TestReceiveJudges(t *testing.T) {
	key := secret.New(vectorSecret)
	at := func(d time.Duration) time.Time { return vectorTime.Add(d) }
	viewer := func(name string, sent time.Time) []byte {
		return ViewerMessage(controller.HookAttempt, "ABC123", name, sent).Body()
	}
	for _, c := range []struct {
		what    string
		body    []byte
		verdict controller.Verdict
		note    string
	}{
		{"a hook", viewer("lobby", at(0)), controller.Accepted, ""},
		{"ten minutes old", viewer("lobby", at(-10*time.Minute)), controller.Accepted, ""},
		{"older", viewer("lobby", at(-10*time.Minute-time.Second)), controller.Stale, "sent 10m1s ago by this clock"},
		{"from the future", viewer("lobby", at(10*time.Minute+time.Second)), controller.Stale,
			"sent 10m1s in the future by this clock"},
		{"an unmapped stream", viewer("nobody", at(0)), controller.Ignored, "no stream of the configuration matches"},
		{"a round-trip test", viewer(ReservedPrefix+"x", at(0)), controller.Ignored, "round-trip test"},
		{"an unknown type", []byte(`{"type":"new","event":"x"}`), controller.Ignored,
			"oncue does not act on this type and event"},
		{"an unknown event", []byte(`{"type":"feeds","event":"paused"}`), controller.Ignored,
			"oncue does not act on this type and event"},
		{"an old hook of an unknown type", []byte(`{"type":"new","event":"x","timestamp":1700000000000}`),
			controller.Stale, "sent 7622h58m34s ago by this clock"},
		{"no JSON", []byte(`hello`), controller.Quarantined, "the body is not JSON"},
		{"a hook without a name", []byte(attempt(`"accountId":"ABC123"`)), controller.Quarantined,
			"the stream's name is missing"},
		{"no account", []byte(attempt(`"name":"lobby"`)), controller.Accepted, ""},
	} {
		g := newRig(t, oneAccount())
		verdict, err := g.send(key, c.body)
		if err != nil || verdict != c.verdict {
			t.Errorf("%s: verdict %q, error %v, want %q", c.what, verdict, err, c.verdict)
			continue
		}
		rec := g.journaled()[0]
		if rec.Verdict != c.verdict || rec.Note != c.note || rec.Account != "ABC123" {
			t.Errorf("%s: journaled as %s of %s: %q, want %q", c.what, rec.Verdict, rec.Account, rec.Note, c.note)
		}
		if hooks := g.delivered(); (len(hooks) == 1) != (c.verdict == controller.Accepted) {
			t.Errorf("%s: delivered %v", c.what, hooks)
		} else if len(hooks) == 1 && (hooks[0].Account != "ABC123" || rec.Stream != "ABC123/lobby") {
			t.Errorf("%s: delivered %v, journaled for %q", c.what, hooks, rec.Stream)
		}
		if again, err := g.send(key, c.body); err != nil || again != controller.Duplicate {
			t.Errorf("%s again: verdict %q, error %v", c.what, again, err)
		}
		if len(g.delivered()) > 1 {
			t.Errorf("%s again: delivered twice", c.what)
		}
		if n := g.Stats().Results; n[string(c.verdict)] != 1 || n["duplicate"] != 1 {
			t.Errorf("%s: counted %v", c.what, n)
		}
	}
}

func TestReceiveKeepsAccountsApart(t *testing.T) {
	g := newRig(t, map[string][]secret.Value{"A": {secretOf("a"), secretOf("shared")},
		"B": {secretOf("b"), secretOf("shared")}})
	for _, c := range []struct {
		signer, account string
		want            error
	}{
		{"a", "A", nil}, {"b", "B", nil}, {"shared", "A", nil}, {"shared", "B", nil}, {"a", "B", ErrSignature},
		{"b", "A", ErrSignature}, {"shared", "C", ErrSignature},
	} {
		_, err := g.send(secretOf(c.signer),
			ViewerMessage(controller.HookAttempt, c.account, "by-"+c.signer, vectorTime).Body())
		if !errors.Is(err, c.want) {
			t.Errorf("%s signs for %s: %v, want %v", c.signer, c.account, err, c.want)
		}
	}
}

func TestReceiveSaysWhenTheStoreFails(t *testing.T) {
	for _, cause := range []error{fmt.Errorf("disk full: %w", controller.ErrStore), context.Canceled} {
		g := newRig(t, oneAccount())
		g.fail(cause)
		verdict, err := g.send(secret.New(vectorSecret), []byte(vectorBody))
		if verdict != "" || !errors.Is(err, controller.ErrStore) || !errors.Is(err, cause) {
			t.Errorf("%v: verdict %q, error %v", cause, verdict, err)
		}
		if len(g.delivered()) != 0 {
			t.Errorf("%v: the machine heard of a hook that is not stored", cause)
		}
		if g.Stats().Results["store"] != 1 {
			t.Errorf("%v: not counted", cause)
		}
	}
}

// stuckJournal stores nothing before it is freed, like a disk that does not answer. Callers whose
// time is up leave, and their records stay queued.
type stuckJournal struct {
	*rig
	free chan struct{}
}

func (j stuckJournal) Append(ctx context.Context, r controller.Record) (int64, bool, error) {
	select {
	case <-j.free:
		return j.rig.Append(ctx, r)
	case <-ctx.Done():
		go func() {
			<-j.free
			_, _, _ = j.rig.Append(context.Background(), r)
		}()
		return 0, false, ctx.Err()
	}
}

func TestReceiveActsOnWhatIsStoredTooLate(t *testing.T) {
	for _, c := range []struct {
		what     string
		recovers bool
		heard    int
		word     string
	}{
		{"the disk answers again", true, 1, "a hook was stored after its sender was told that it is not"},
		{"the disk stays away", false, 0, "a signed hook is lost"},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newBareRig(t, oneAccount(), nil)
				j := stuckJournal{g, make(chan struct{})}
				g.Receiver.journal = j
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				body := []byte(vectorBody)
				_, err := g.Receive(ctx, delivery(ContentJSON, body, Sign(secret.New(vectorSecret), body)))
				if !errors.Is(err, controller.ErrStore) || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("a hook that is not stored in time: %v", err)
				}
				synctest.Wait()
				if n := len(g.delivered()); n != 0 {
					t.Fatalf("the machine heard of %d hooks that are not stored", n)
				}
				if c.recovers {
					close(j.free)
				} else {
					time.Sleep(followLimit + time.Second)
					close(j.free)
				}
				synctest.Wait()
				if n := len(g.delivered()); n != c.heard {
					t.Errorf("the machine heard of %d hooks, want %d", n, c.heard)
				}
				if n := len(g.journaled()); n != 1 {
					t.Errorf("the journal has %d hooks", n)
				}
				if !strings.Contains(g.logged(), c.word) {
					t.Errorf("the log does not say %q:\n%s", c.word, g.logged())
				}
			})
		})
	}
}

// A log that hangs delays the delivery that writes to it, and no other.
func TestNobodyWaitsForTheLog(t *testing.T) {
	g := newRig(t, oneAccount())
	begun, free := make(chan struct{}), make(chan struct{})
	g.Receiver.log = slog.New(slog.NewTextHandler(stuckWriter{begun, free}, nil))
	forged := func() {
		if _, err := g.send(secretOf("wrong"), []byte(vectorBody)); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
	}
	var first sync.WaitGroup
	first.Go(forged)
	<-begun
	done := make(chan struct{})
	go func() { forged(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("another delivery waits for the log")
	}
	close(free)
	first.Wait()
}

// stuckWriter writes nothing before it is freed.
type stuckWriter struct{ begun, free chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) {
	close(w.begun)
	<-w.free
	return len(p), nil
}

// No signature covers the content type: somebody who intercepts a hook can send it as a picture.
func TestAHookThatWasSentAsAPictureIsTaken(t *testing.T) {
	g := newRig(t, oneAccount())
	body := ViewerMessage(controller.HookAttempt, "ABC123", "lobby", vectorTime).Body()
	sig := Sign(secret.New(vectorSecret), body)
	for _, c := range []struct {
		as   string
		want controller.Verdict
	}{
		{ContentJPEG, controller.Quarantined}, {ContentJPEG, controller.Duplicate},
		{ContentJSON, controller.Accepted}, {ContentJSON, controller.Duplicate},
	} {
		if verdict, err := g.Receive(t.Context(), delivery(c.as, bytes.Clone(body), sig)); err != nil ||
			verdict != c.want {
			t.Errorf("as %s: verdict %q, error %v, want %q", c.as, verdict, err, c.want)
		}
	}
	if hooks := g.delivered(); len(hooks) != 1 {
		t.Errorf("delivered %v", hooks)
	}
}

func TestReceiveThumbnails(t *testing.T) {
	key := secret.New(vectorSecret)
	jpeg := []byte("\xff\xd8\xff\xe0 a picture")
	for _, c := range []struct {
		what, stream string
		body         []byte
		verdict      controller.Verdict
	}{
		{"a picture", "ABC123/lobby", jpeg, controller.Accepted},
		{"no stream", "", jpeg, controller.Ignored},
		{"another account's stream", "XYZ/lobby", jpeg, controller.Ignored},
		{"an unmapped stream", "ABC123/nobody", jpeg, controller.Ignored},
		{"a name with a newline", "ABC123/lob\nby", jpeg, controller.Ignored},
		{"no JPEG", "ABC123/lobby", []byte("GIF89a"), controller.Quarantined},
	} {
		g := newRig(t, oneAccount())
		d := delivery(ContentJPEG, c.body, Sign(key, c.body))
		ThumbnailHeader(d.Header, "x", "y", "../../feed", "token", vectorTime.Add(-time.Second))
		d.Header.Set(StreamHeader, c.stream)
		verdict, err := g.Receive(t.Context(), d)
		if err != nil || verdict != c.verdict {
			t.Errorf("%s: verdict %q, error %v, want %q", c.what, verdict, err, c.verdict)
			continue
		}
		if rec := g.journaled()[0]; rec.Body != nil || rec.Type != TypeThumbnail || rec.Verdict != c.verdict ||
			rec.Size != len(c.body) {
			t.Errorf("%s: journaled %+v", c.what, rec)
		}
		got, at, ok := g.thumbs.Thumbnail("ABC123/lobby")
		if ok != (c.verdict == controller.Accepted) {
			t.Errorf("%s: kept: %v", c.what, ok)
		}
		if ok && (!bytes.Equal(got, jpeg) || !at.Equal(vectorTime.Add(-time.Second))) {
			t.Errorf("%s: kept %q of %s", c.what, got, at)
		}
		if len(g.delivered()) != 0 {
			t.Errorf("%s: a picture moved the machine", c.what)
		}
	}
}

func TestReceiveTakesAReplayedPictureOnce(t *testing.T) {
	g := newRig(t, oneAccount())
	key, jpeg := secret.New(vectorSecret), []byte("\xff\xd8\xff old news")
	send := func(name string) controller.Verdict {
		d := delivery(ContentJPEG, jpeg, Sign(key, jpeg))
		ThumbnailHeader(d.Header, "ABC123", name, "feed", "token", vectorTime)
		verdict, err := g.Receive(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		return verdict
	}
	if first, second := send("lobby"), send("stage"); first != controller.Accepted || second != controller.Duplicate {
		t.Errorf("verdicts %s, %s", first, second)
	}
	if _, _, ok := g.thumbs.Thumbnail("ABC123/stage"); ok {
		t.Error("a replayed picture was given to another stream")
	}
}

func TestExpectHearsOfTheNextDelivery(t *testing.T) {
	g := newRig(t, oneAccount())
	arrived, cancel := g.Expect("ABC123", "myAwesomeStream")
	other, cancelOther := g.Expect("ABC123", "other")
	defer cancelOther()
	if _, err := g.Receive(t.Context(), delivery(ContentJSON, []byte(vectorBody), vectorSignature)); err != nil {
		t.Fatal(err)
	}
	select {
	case rec := <-arrived:
		if rec.Event != "ViewerAttempt" {
			t.Errorf("heard of %+v", rec)
		}
	default:
		t.Error("nothing was heard")
	}
	select {
	case rec := <-other:
		t.Errorf("the other stream heard of %+v", rec)
	default:
	}
	cancel()
	cancel()
	if n := g.arrivals.waiting.Load(); n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
}

func TestBodyLimit(t *testing.T) {
	for contentType, want := range map[string]int64{
		"application/json": MaxJSON, "Application/JSON; charset=utf-8": MaxJSON, "": MaxJSON, "image/jpeg": MaxJPEG,
		" image/jpeg ;x": MaxJPEG,
		"text/plain":     0, "application/jsonp": 0, "image/jpg": 0, "multipart/form-data": 0,
	} {
		got, ok := BodyLimit(contentType)
		if got != want || ok != (want > 0) {
			t.Errorf("BodyLimit(%q) = %d, %v, want %d", contentType, got, ok, want)
		}
	}
}

// No input may crash the receiver, be acted on without a signature, or bring in a hook whose name
// breaks the rules.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(vectorBody), vectorSignature, false)
	f.Add([]byte(vectorBody), "sha1=", true)
	f.Add([]byte(attempt(`"name":"\ud83d\ude00","streamId":"ABC123/😀"`)), "", true)
	f.Add(
		[]byte(
			`{"type":"feeds","event":"started","timestamp":1727442713604,"data":{"feedId":"f","streamId":"ABC123/n",`+
				`"priority":-1}}`), "", true)
	f.Add([]byte(`{"a":[[[[{}]]]],"b":1e5,"c":-0.5E-3}`), "", true)
	f.Add([]byte(`{"type":"feeds","TYPE":"media"}`), "", true)
	key := secret.New(vectorSecret)
	f.Fuzz(func(t *testing.T, body []byte, signature string, sign bool) {
		g := newBareRig(t, oneAccount(), nil)
		right := Sign(key, body)
		if sign {
			signature = right
		}
		verdict, err := g.Receive(t.Context(), Delivery{Header: http.Header{SignatureHeader: {signature}}, Body: body})
		if signature != right && (err == nil || len(g.journaled()) > 0) {
			t.Fatalf("a wrong signature %q got verdict %q", signature, verdict)
		}
		for _, h := range g.delivered() {
			if verdict != controller.Accepted || h.Account != "ABC123" || h.Name == "" || checkName(h.Name) != nil ||
				h.At.IsZero() {
				t.Fatalf("verdict %q delivered %+v", verdict, h)
			}
		}
	})
}
