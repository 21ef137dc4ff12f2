package daemon

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/store"
)

// This file finds or makes the publishing tokens of streams with `token: auto`, and keeps them.

const (
	tokensEvery = 2 * time.Second // at most; see tokenKeeper.due
	// A kept token is compared with the platform's this often, and less often when there are many.
	tokenCheckEvery = time.Minute
	tokenDoubtEvery = 10 * time.Second // while encoders fail: somebody may have deleted their token
	tokenRetryMax   = 2 * time.Minute
)

// keptToken is what the store keeps of one stream's or pattern's token.
type keptToken struct {
	ID    int            `json:"id"`
	Value string         `json:"value"`
	Old   map[int]string `json:"old,omitempty"` // replaced ones by id: feeds that are open were published with them
}

// tokenKeeper has the tokens of all streams with `token: auto`. What the store keeps is sealed.
type tokenKeeper struct {
	store *store.Store
	seal  seal
	log   *slog.Logger

	changed func(entry string) // a stream, or those of a pattern, may be published now; nil: nobody asks

	working sync.Mutex // held while tokens are looked for, made and deleted

	mu     sync.Mutex
	kept   map[string]keptToken   // by stream id; one without an id: the store has none
	wrong  map[string]string      // by stream id: why nobody can publish
	rounds map[string]*tokenRound // by account
}

// tokenRound is when the tokens of an account are looked at again.
type tokenRound struct {
	next   time.Time
	done   time.Time // the last one that went well
	failed int       // rounds in a row
	err    string    // of the last one
}

func newTokenKeeper(st *store.Store, s seal, log *slog.Logger) *tokenKeeper {
	return &tokenKeeper{
		store: st, seal: s, log: log,
		kept: map[string]keptToken{}, wrong: map[string]string{}, rounds: map[string]*tokenRound{},
	}
}

// tell reports that a token has come, or has become good.
func (k *tokenKeeper) tell(stream string) {
	if k.changed != nil {
		k.changed(stream)
	}
}

func tokenKey(stream string) string { return "publish-token/" + stream }

// load reads what the store keeps of a stream. What cannot be read is found anew at the platform.
func (k *tokenKeeper) load(ctx context.Context, stream string) error {
	k.mu.Lock()
	_, known := k.kept[stream]
	k.mu.Unlock()
	if known {
		return nil
	}
	text, err := k.store.Setting(ctx, tokenKey(stream))
	if err != nil {
		return err
	}
	var t keptToken
	if text != "" {
		sealed, err := base64.StdEncoding.DecodeString(text)
		if err == nil {
			var plain []byte
			if plain, err = k.seal.open(sealed); err == nil {
				err = json.Unmarshal(plain, &t)
			}
		}
		if err != nil {
			k.log.Warn("the kept publishing token cannot be read", "stream", stream, "error", err)
			t = keptToken{}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[stream] = t
	return nil
}

// save keeps a token, and brings it into force even if the store fails: it is found again by its
// label.
func (k *tokenKeeper) save(ctx context.Context, stream string, t keptToken) error {
	k.mu.Lock()
	k.kept[stream] = t
	k.mu.Unlock()
	plain, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return k.store.SetSetting(ctx, tokenKey(stream), base64.StdEncoding.EncodeToString(k.seal.close(plain)))
}

func (k *tokenKeeper) get(stream string) keptToken {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[stream]
}

// value is the token to publish with; it is not set while there is none.
func (k *tokenKeeper) value(stream string) secret.Value { return secret.New(k.get(stream).Value) }

// secrets are the values of all tokens of a stream.
func (k *tokenKeeper) secrets(stream string) []secret.Value {
	t := k.get(stream)
	if t.ID == 0 {
		return nil
	}
	list := []secret.Value{secret.New(t.Value)}
	for _, old := range t.Old {
		list = append(list, secret.New(old))
	}
	return list
}

// OwnToken is the publishing token that oncue makes for a stream of the configuration.
func OwnToken(s *configs.Stream) millicast.OwnToken {
	streams := millicast.TokenName{Name: s.Name}
	if s.IsPattern {
		streams = millicast.TokenName{Name: s.Pattern(), IsRegex: true}
	}
	return millicast.OwnToken{Name: s.Name, Streams: streams}
}

// careForTokens looks after the tokens of each account that is due.
func (d *Daemon) careForTokens(ctx context.Context) {
	f := d.inForce()
	for _, id := range slices.Sorted(maps.Keys(f.accounts)) {
		a := f.accounts[id]
		if a.client == nil || !d.tokens.due(id, f.plan.auto[id], time.Now()) {
			continue
		}
		caring, cancel := context.WithTimeout(ctx, time.Minute)
		err := d.tokens.round(caring, a.client, f.plan.auto[id], d.isIdle)
		cancel()
		d.tokens.finished(id, len(f.plan.auto[id]), err, time.Now())
	}
}

// due reports whether the tokens of an account are to be looked at now: one is missing and the
// last failure is long enough ago, or it is time to compare them all.
func (k *tokenKeeper) due(account string, streams []*configs.Stream, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.rounds[account]
	if len(streams) == 0 {
		delete(k.rounds, account)
		return false
	}
	if r == nil {
		r = new(tokenRound)
		k.rounds[account] = r
	}
	if !now.Before(r.next) {
		return true
	}
	return r.failed == 0 && slices.ContainsFunc(streams, func(s *configs.Stream) bool {
		t := k.kept[s.ID]
		return t.ID == 0 && k.wrong[s.ID] == "" || len(t.Old) > 0
	})
}

// hurry makes all accounts due: the configuration has changed, and maybe what made a round fail.
func (k *tokenKeeper) hurry() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.rounds)
}

// doubt makes an account due soon: one of its encoders has failed, and maybe for want of a token.
func (k *tokenKeeper) doubt(account string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.rounds[account]; r != nil && r.failed == 0 {
		if soon := r.done.Add(tokenDoubtEvery); soon.Before(r.next) {
			r.next = soon
		}
	}
}

// finished notes the result of a round.
func (k *tokenKeeper) finished(account string, streams int, err error, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.rounds[account]
	if r == nil {
		return // hurry has come in between
	}
	if err == nil {
		*r = tokenRound{next: now.Add(tokenCheckEvery + time.Duration(streams)*time.Second), done: now}
		return
	}
	if r.err != err.Error() {
		k.log.Error("the publishing tokens could not be looked after", "account", account, "error", err)
	}
	r.err = err.Error()
	r.next = now.Add(min(tokensEvery<<min(r.failed, 10), tokenRetryMax))
	r.failed++
}

// round finds or makes the tokens of streams of one account, and deletes replaced ones that nobody
// publishes with any more. Idle reports whether a stream is off.
func (k *tokenKeeper) round(
	ctx context.Context, client *millicast.Client, streams []*configs.Stream, idle func(*configs.Stream) bool,
) error {
	k.working.Lock()
	defer k.working.Unlock()
	if err := client.CheckAccount(ctx); err != nil {
		return err
	}
	all, err := client.ListTokens(ctx)
	if err != nil {
		return err
	}
	var active []int
	asked := false
	for _, s := range streams {
		if err := k.ensure(ctx, client, s, all); err != nil {
			return fmt.Errorf("stream %s: %w", s.ID, err)
		}
		if len(k.get(s.ID).Old) == 0 || !idle(s) {
			continue
		}
		if !asked {
			if active, err = client.ActiveTokens(ctx); err != nil {
				return err
			}
			asked = true
		}
		if err := k.deleteOld(ctx, client, s, active); err != nil {
			return fmt.Errorf("stream %s: %w", s.ID, err)
		}
	}
	return nil
}

// ensure finds or makes the token of one stream.
func (k *tokenKeeper) ensure(
	ctx context.Context, client *millicast.Client, s *configs.Stream, all []millicast.PublishToken,
) error {
	kept := k.get(s.ID)
	t, err := client.EnsureOwnToken(ctx, OwnToken(s), all, kept.ID)
	if answer, ok := errors.AsType[*millicast.APIError](err); errors.Is(err, millicast.ErrNoUsableToken) ||
		ok && answer.Status == http.StatusBadRequest {
		k.setWrong(s.ID, err.Error()) // for a person to mend: asking again soon helps nobody, and the others go on
		return nil
	}
	if err != nil {
		return err
	}
	wrong := ""
	if why := t.Unusable(time.Now()); why != "" {
		wrong = fmt.Sprintf("publishing token %d (%s) %s; %v", t.ID, t.Label, why, millicast.ErrNoUsableToken)
	}
	renewed := k.setWrong(s.ID, wrong) || slices.ContainsFunc(all, func(before millicast.PublishToken) bool {
		return before.ID == t.ID && !slices.Equal(before.Streams, t.Streams)
	})
	if t.ID != kept.ID || !t.Value.Equal(kept.Value) {
		k.log.Info("a publishing token was found or made", "stream", s.ID, "token", t.ID, "label", t.Label)
		renewed = true
		delete(kept.Old, t.ID)
		err = k.save(ctx, s.ID, keptToken{ID: t.ID, Value: t.Value.Reveal(), Old: kept.Old})
	}
	if renewed && wrong == "" {
		k.tell(s.ID)
	}
	return err
}

// setWrong notes why nobody can publish, "" when somebody can. It reports whether that has changed.
func (k *tokenKeeper) setWrong(stream, wrong string) (changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if wrong == k.wrong[stream] {
		return false
	}
	if wrong == "" {
		delete(k.wrong, stream)
		return true
	}
	k.wrong[stream] = wrong
	k.log.Error("a stream cannot be published", "stream", stream, "error", wrong)
	return true
}

// deleteOld deletes the replaced tokens of an idle stream but those that somebody publishes with.
func (k *tokenKeeper) deleteOld(
	ctx context.Context, client *millicast.Client, s *configs.Stream, active []int,
) error {
	kept := k.get(s.ID)
	kept.Old = maps.Clone(kept.Old)
	for _, id := range slices.Sorted(maps.Keys(kept.Old)) {
		if slices.Contains(active, id) {
			continue
		}
		if err := client.DeleteToken(ctx, id); err != nil {
			return err
		}
		k.log.Info("a replaced publishing token was deleted", "stream", s.ID, "token", id)
		delete(kept.Old, id)
	}
	return k.save(ctx, s.ID, kept)
}

// rotate gives a stream another token. The one before stays good until nobody publishes with it.
func (k *tokenKeeper) rotate(
	ctx context.Context, client *millicast.Client, s *configs.Stream,
) (millicast.PublishToken, error) {
	k.working.Lock()
	defer k.working.Unlock()
	var t millicast.PublishToken
	if err := k.load(ctx, s.ID); err != nil {
		return t, err
	}
	if err := client.CheckAccount(ctx); err != nil {
		return t, err
	}
	own := OwnToken(s)
	all, err := client.TokensByLabel(ctx, own.Label())
	if err != nil {
		return t, err
	}
	kept := k.get(s.ID)
	old := map[int]string{}
	maps.Copy(old, kept.Old)
	var ids []int
	for _, other := range own.Among(all) {
		ids = append(ids, other.ID)
		// One that is younger than the kept one is of a rotation that was cut short, here or elsewhere.
		if kept.ID != 0 && other.ID > kept.ID && old[other.ID] == "" && other.Unusable(time.Now()) == "" {
			t = other
		} else {
			old[other.ID] = other.Value.Reveal()
		}
	}
	if t.ID == 0 {
		if t, err = client.MakeOwnToken(ctx, own, ids); err != nil {
			return t, err
		}
	}
	if kept.ID != 0 {
		old[kept.ID] = kept.Value
	}
	delete(old, t.ID)
	k.setWrong(s.ID, "")
	err = k.save(ctx, s.ID, keptToken{ID: t.ID, Value: t.Value.Reveal(), Old: old})
	k.tell(s.ID)
	return t, err
}

// problems are what people must know of the tokens of the streams, one sentence each.
func (k *tokenKeeper) problems(auto map[string][]*configs.Stream) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []string
	for _, account := range slices.Sorted(maps.Keys(auto)) {
		var missing []string
		for _, s := range auto[account] {
			if wrong := k.wrong[s.ID]; wrong != "" {
				list = append(list, fmt.Sprintf("stream %s: %s", s.ID, wrong))
			} else if k.kept[s.ID].ID == 0 {
				missing = append(missing, s.ID)
			}
		}
		if len(missing) == 0 {
			continue
		}
		why := "the platform has not been asked yet"
		if r := k.rounds[account]; r != nil && r.err != "" {
			why = r.err
		}
		more := ""
		if n := len(missing) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		list = append(list, fmt.Sprintf("there is no publishing token yet for %s%s: %s", missing[0], more, why))
	}
	return list
}

// isIdle reports whether the stream, or each that the pattern stands for, is off and not wanted.
func (d *Daemon) isIdle(s *configs.Stream) bool {
	return !slices.ContainsFunc(d.control.Streams(), func(v controller.StreamView) bool {
		return (v.ID == controller.StreamID(s.ID) || v.Pattern == s.ID) && v.Phase != controller.PhaseIdle
	})
}

// rotateToken is the admin side's RotateToken. The id is that of a stream or of a pattern.
func (d *Daemon) rotateToken(ctx context.Context, id controller.StreamID) (web.TokenRotation, error) {
	f := d.inForce()
	s, err := AutoStream(f.plan.Config, string(id))
	if err != nil {
		return web.TokenRotation{}, fmt.Errorf("%w: %w", controller.ErrInvalid, err)
	}
	t, err := d.tokens.rotate(ctx, f.accounts[s.Account].client, s)
	return web.TokenRotation{
		Stream: controller.StreamID(s.ID), ID: t.ID, Label: t.Label, Value: t.Value,
	}, ExplainPlatform(err, s.Account)
}

// AutoStream is the configuration's entry for a stream whose token oncue finds or makes.
func AutoStream(cfg *configs.Config, id string) (*configs.Stream, error) {
	s, ok := cfg.Entry(id)
	switch {
	case !ok:
		return nil, fmt.Errorf("the configuration has no stream %q", id)
	case !s.AutoToken():
		return nil, term.Hint(fmt.Errorf("the publishing token of %s stands in the configuration", s.ID),
			"write publish: {token: auto}; or make one by oncue token create, and write it there")
	}
	return s, nil
}

// RotateTokenOffline gives a stream another token and keeps it where the next daemon finds it: in
// the data directory, which no running one may hold.
func RotateTokenOffline(
	ctx context.Context, cfg *configs.Config, s *configs.Stream, client *millicast.Client,
) (t millicast.PublishToken, err error) {
	err = offline(ctx, cfg, func(st *store.Store) error {
		key, err := openSeal(cfg.DataDir)
		if err != nil {
			return err
		}
		t, err = newTokenKeeper(st, key, slog.New(slog.DiscardHandler)).rotate(ctx, client, s)
		return err
	})
	return t, err
}
