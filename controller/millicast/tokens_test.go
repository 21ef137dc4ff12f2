package millicast_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// simulated brings up a simulated platform and a client of its API that is not patient.
func simulated(t *testing.T, set simulator.Settings) (*simulator.Simulator, *millicast.Client) {
	t.Helper()
	set.APISecret = secret.New("the-api-secret")
	sim, err := simulator.Start(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	return sim, clientOf(t, sim.APIURL(), sim.APISecret())
}

func clientOf(t *testing.T, url string, key secret.Value) *millicast.Client {
	t.Helper()
	c, err := millicast.NewClient(millicast.ClientOptions{
		Account: "ABC123", URL: url, Secret: key, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		RetryWait: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTokenFromItsMakingToItsEnd(t *testing.T) {
	sim, c := simulated(t, simulator.Settings{})
	ctx, seven := t.Context(), 7
	made, err := c.CreateToken(ctx, millicast.TokenSpec{
		Label: "oncue:lobby", Streams: []millicast.TokenName{{Name: "lobby"}},
		Expires: 90 * time.Minute, Thumbnails: true, Priority: &seven,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !made.Active || !made.Thumbnails || made.Multisource || *made.Priority != 7 || len(made.Value.Reveal()) != 64 {
		t.Errorf("made %+v", made)
	}
	if left := time.Until(made.Expires); left < 89*time.Minute || left > 90*time.Minute {
		t.Errorf("it expires in %v", left)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", made, made, made), made.Value.Reveal()) {
		t.Error("the token prints its value")
	}
	read, err := c.Token(ctx, made.ID)
	if d := cmp.Diff(made, read, sameSecret); err != nil || d != "" {
		t.Errorf("read: %v (-made +read):\n%s", err, d)
	}

	label, on := "oncue:stage", true
	changed, err := c.UpdateToken(ctx, made.ID, millicast.TokenChange{
		Label: &label, Multisource: &on, ClearPriority: true, NewValue: true,
		AddStreams: []millicast.TokenName{{Name: "cam-.", IsRegex: true}}, RemoveStreams: []string{"lobby"},
	})
	want := made
	want.Label, want.Multisource, want.Priority, want.Value = label, true, nil, changed.Value
	want.Streams = []millicast.TokenName{{Name: "cam-.", IsRegex: true}}
	if d := cmp.Diff(want, changed, sameSecret); err != nil || d != "" || changed.Value.Same(made.Value) {
		t.Errorf("changed: %v (-want +got):\n%s", err, d)
	}

	sim.OpenFeed("elsewhere", "", nil)
	if ids, err := c.ActiveTokens(ctx); err != nil || len(ids) != 0 {
		t.Errorf("tokens in use: %v, %v", ids, err)
	}
	if err := c.DisableTokens(ctx, made.ID, 99); err != nil {
		t.Errorf("disable: %v", err)
	}
	if got := sim.Tokens()[0]; got.Active {
		t.Error("it is not disabled")
	}
	for range 2 {
		if err := c.DeleteToken(ctx, made.ID); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if got := sim.Tokens(); len(got) != 0 {
		t.Errorf("%d tokens are left", len(got))
	}
}

var sameSecret = cmp.Comparer(func(a, b secret.Value) bool { return a.Same(b) })

func TestWhatATokenSays(t *testing.T) {
	sim, c := simulated(t, simulator.Settings{})
	two, off := 2, false
	if _, err := sim.AddToken(simulator.Token{
		Label: "old", Expires: time.UnixMilli(1_700_000_000_000),
		Streams: []simulator.TokenStream{{Name: ".*", IsRegex: true}},
		Record:  true, BindIPs: &two, AllowedOrigins: []string{"example.com"}, OriginCluster: "lon-1",
		Restream: []simulator.Restream{
			{Label: "a", URL: "rtmp://x/s3cr3t-key", Key: "s3cr3t-key"}, {Label: "b", Enabled: &off},
		},
	}); err != nil {
		t.Fatal(err)
	}
	list, err := c.ListTokens(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%d tokens, %v", len(list), err)
	}
	got := list[0]
	if got.Active || !got.Record || *got.BindIPs != 2 || got.OriginCluster != "lon-1" ||
		got.Expires.Unix() != 1_700_000_000 {
		t.Errorf("%+v", got)
	}
	if len(got.Restream) != 2 || !got.Restream[0].On() || got.Restream[1].On() ||
		strings.Contains(fmt.Sprintf("%+v", got), "s3cr3t") {
		t.Errorf("restreams %+v", got.Restream)
	}
}

func TestTokensAreFoundByTheirWholeLabel(t *testing.T) {
	sim, c := simulated(t, simulator.Settings{})
	for i := range 230 {
		label := fmt.Sprintf("oncue:cam-%d", i)
		token := simulator.Token{Label: label, Streams: []simulator.TokenStream{{Name: "x"}}}
		if _, err := sim.AddToken(token); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.ListTokens(t.Context())
	if err != nil || len(list) != 230 || list[0].Label != "oncue:cam-0" || list[229].Label != "oncue:cam-229" {
		t.Errorf("%d tokens, %v", len(list), err)
	}
	found, err := c.TokensByLabel(t.Context(), "oncue:cam-2")
	if err != nil || len(found) != 1 || found[0].ID != list[2].ID {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestTokenErrorsHaveTypesAndNoSecrets(t *testing.T) {
	sim, c := simulated(t, simulator.Settings{})
	label := "x"
	calls := map[string]func(context.Context, *millicast.Client) error{
		"list": func(ctx context.Context, c *millicast.Client) error {
			_, err := c.ListTokens(ctx)
			return err
		},
		"find": func(ctx context.Context, c *millicast.Client) error {
			_, err := c.TokensByLabel(ctx, "x")
			return err
		},
		"read": func(ctx context.Context, c *millicast.Client) error {
			_, err := c.Token(ctx, 99)
			return err
		},
		"active": func(ctx context.Context, c *millicast.Client) error {
			_, err := c.ActiveTokens(ctx)
			return err
		},
		"create": func(ctx context.Context, c *millicast.Client) error {
			_, err := c.CreateToken(ctx, millicast.TokenSpec{Label: "x", Streams: []millicast.TokenName{{Name: "x"}}})
			return err
		},
		"change": func(ctx context.Context, c *millicast.Client) error {
			_, err := c.UpdateToken(ctx, 99, millicast.TokenChange{Label: &label})
			return err
		},
		"disable": func(ctx context.Context, c *millicast.Client) error { return c.DisableTokens(ctx, 99) },
		"delete":  func(ctx context.Context, c *millicast.Client) error { return c.DeleteToken(ctx, 99) },
	}
	for _, name := range []string{"read", "change"} {
		if err := calls[name](t.Context(), c); !errors.Is(err, millicast.ErrNotFound) {
			t.Errorf("%s of no token: %v", name, err)
		}
	}
	wrong := clientOf(t, sim.APIURL(), secret.New("another-api-secret"))
	for name, do := range calls {
		err := do(t.Context(), wrong)
		if !errors.Is(err, millicast.ErrUnauthorized) || strings.Contains(err.Error(), "another-api-secret") {
			t.Errorf("%s with a wrong secret: %v", name, err)
		}
	}
	for status, want := range map[int]error{429: millicast.ErrRateLimited, 403: millicast.ErrUnauthorized, 500: nil} {
		sim.SetAPIFaults(simulator.APIFaults{Path: "/api/", Status: status, RetryAfter: time.Minute})
		for name, do := range calls {
			c := clientOf(t, sim.APIURL(), sim.APISecret()) // a client remembers that it is to slow down
			err := do(t.Context(), c)
			e, ok := errors.AsType[*millicast.APIError](err)
			if !ok || e.Status != status || want != nil && !errors.Is(err, want) {
				t.Errorf("%s, answered %d: %v", name, status, err)
			}
		}
	}
	if got := sim.Tokens(); len(got) != 0 {
		t.Errorf("the calls that failed left %+v", got)
	}
}

// A platform that repeats tokens in its refusals, or answers with something else.
func TestAnswersThatAreNoTokens(t *testing.T) {
	value := strings.Repeat("0123456789abcdef", 4)
	for answer, want := range map[string]string{
		`{"status":"fail","data":{"token":"` + value + ` is in use"}}`: "is in use",
		`{"status":"error","message":"` + value + `"}`:                 "answered",
		`{"status":"success","data":null}`:                             "no token",
		`{"status":"success","data":{"id":5}}`:                         "no token",
		`{"status":"success","data":{"id":6,"token":"` + value + `"}}`: "asked for 5, got 6",
		`{"status":"success","data":{"id":5,"token":7}}`:               "not as expected",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !strings.Contains(answer, "success") {
				w.WriteHeader(http.StatusBadRequest)
			}
			io.WriteString(w, answer)
		}))
		_, err := clientOf(t, server.URL, secret.New("k3y")).Token(t.Context(), 5)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v, want %q", answer, err, want)
		}
		server.Close()
	}
}
