package millicast

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/oncue/oncue/controller"
)

// Limits of what a Receiver takes.
const (
	MaxJSON = 64 << 10 // bytes of a JSON hook; the platform's have a few hundred
	MaxJPEG = 8 << 20  // bytes of a thumbnail
	MaxSkew = 10 * time.Minute
)

// ReservedPrefix starts the names of streams that exist for a round-trip test only. Hooks for them are stored and never acted on.
const ReservedPrefix = "oncue-roundtrip-"

// Errors of Receive. A delivery that one of them answers has changed nothing. What the store could not take has controller.ErrStore in its chain; when only the
// caller's time ran out, it may still be taken, and the machine hears of it then.
var (
	ErrSignature   = errors.New("the signature is missing, wrong or another account's")
	ErrContentType = errors.New("the content type is neither JSON nor JPEG")
	ErrTooLarge    = errors.New("the delivery is too large")
)

// Journal keeps what was received and moves no stream. [controller.Store] is one.
type Journal interface {
	// Append stores r, as controller.Store says; r.Body is the journal's to keep.
	Append(ctx context.Context, r controller.Record) (seq int64, duplicate bool, err error)
}

// Machine is the controller as the platform's side sees it.
type Machine interface {
	// Knows reports whether the configuration maps the stream.
	Knows(account, name string) bool
	// Take stores an accepted hook as Journal does, and acts on it unless it is a duplicate. Hooks may come in any order.
	Take(ctx context.Context, r controller.Record, h controller.Hook) (seq int64, duplicate bool, err error)
	// Deliver has the machine act on a hook that is stored. It does not block. A hook may come twice.
	Deliver(h controller.Hook)
}

// Thumbnails keeps the last picture of each stream. [ThumbnailDir] is one.
type Thumbnails interface {
	SaveThumbnail(streamID string, at time.Time, jpeg []byte) error
}

// A Delivery is one message of the platform as some transport brought it.
type Delivery struct {
	Via         string      // the transport, for the log: "http", or whatever brings deliveries one day
	ContentType string      // of the body
	Header      http.Header // keys in canonical form; only the X-Millicast-* ones are read
	Body        []byte      // as sent, byte for byte; it belongs to the Receiver from now on
	Received    time.Time   // by the wall clock; zero: now
	Peer        string      // who brought it, as far as the transport can tell; "" when it cannot
}

// Options are what a Receiver works with. Journal, Machine and Log are needed.
type Options struct {
	Journal    Journal
	Machine    Machine
	Thumbnails Thumbnails // nil: pictures are journaled and dropped
	Log        *slog.Logger
	Now        func() time.Time // wall clock; nil: time.Now
	Clock      func() time.Time // the machine's, by which its time-outs run; nil: Now
}

// Receiver is the one way in for everything that the platform sends. It knows no transport: the HTTP server calls Receive today, and whatever
// else may carry deliveries one day (a message bus behind a relay, a replay from a file) calls the same method. All its methods may be called
// concurrently.
type Receiver struct {
	journal Journal
	machine Machine
	thumbs  Thumbnails
	log     *slog.Logger
	now     func() time.Time
	clock   func() time.Time

	setting  sync.Mutex              // held by SetSecrets
	ring     atomic.Pointer[keyring] // changed under held.mu
	held     held
	known    knownPeers
	late     *late
	stats    counters
	arrivals arrivals

	skewed rate.Sometimes // spares the log under a flood
	forged rate.Sometimes
}

// NewReceiver returns a Receiver without secrets: nothing verifies until SetSecrets.
func NewReceiver(o Options) (*Receiver, error) {
	if err := CheckSigning(); err != nil {
		return nil, err
	}
	r := &Receiver{
		journal: o.Journal, machine: o.Machine, thumbs: o.Thumbnails, log: o.Log, now: o.Now, clock: o.Clock,
		late:   newLate(),
		skewed: rate.Sometimes{Interval: time.Minute},
		forged: rate.Sometimes{Interval: time.Minute},
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.clock == nil {
		r.clock = r.now
	}
	r.ring.Store(&keyring{})
	return r, nil
}

// Receive takes one delivery: it verifies the signature, reads the body, has it stored, and only then is it acted on. When it returns a verdict
// without an error the delivery has survived power loss. The verdicts are those of the hook endpoint.
func (r *Receiver) Receive(ctx context.Context, d Delivery) (controller.Verdict, error) {
	if d.Received.IsZero() {
		d.Received = r.now()
	}
	limit, ok := BodyLimit(d.ContentType)
	if !ok {
		return r.refuse(causeContentType, ErrContentType)
	}
	if int64(len(d.Body)) > limit {
		return r.refuse(causeTooLarge, ErrTooLarge)
	}
	texts := d.Header[SignatureHeader]
	if len(texts) == 0 {
		return r.refuse(causeNoSignature, ErrSignature)
	}
	sig, ok := parseSignature(texts[0])
	if !ok || len(texts) > 1 {
		return r.refuse(causeBadSignature, ErrSignature)
	}
	var few [4]*key
	for {
		ring := r.ring.Load()
		if keys := ring.verify(few[:0], sig, d.Body); len(keys) > 0 {
			return r.take(ctx, d, keys)
		}
		if !r.hold(d, sig, ring) { // new secrets came meanwhile
			continue
		}
		r.forged.Do(func() {
			r.log.Warn("a delivery was refused: no webhook secret verifies it", "via", d.Via, "size", len(d.Body), "refused_so_far", r.stats.results[causeBadSignature].Load()+1)
		})
		return r.refuse(causeBadSignature, ErrSignature)
	}
}

// BodyLimit gives the largest body of a content type, in bytes; ok is false for types that no delivery has. An absent type passes as JSON.
func BodyLimit(contentType string) (limit int64, ok bool) {
	media, _, _ := strings.Cut(contentType, ";")
	switch media = strings.TrimSpace(media); {
	case media == "", strings.EqualFold(media, ContentJSON):
		return MaxJSON, true
	case strings.EqualFold(media, ContentJPEG):
		return MaxJPEG, true
	}
	return 0, false
}

// take stores and hands on a delivery that keys verified.
func (r *Receiver) take(ctx context.Context, d Delivery, keys []*key) (controller.Verdict, error) {
	if limit, _ := BodyLimit(d.ContentType); limit == MaxJPEG {
		return r.takeThumbnail(ctx, d, keys[0])
	}
	rec, hook, err := parse(d.Body)
	key := keyOf(keys, rec.Account)
	if key == nil {
		return r.refuse(causeWrongAccount, ErrSignature)
	}
	now := r.now()
	if rec.Account == "" {
		rec.Account, hook.Account = key.account, key.account
		if hook.Name != "" {
			rec.Stream = hook.StreamID()
		}
	}
	rec.Verdict, rec.Note = r.judge(rec, hook, err, now)
	rec.Body = d.Body
	verdict, err := r.store(ctx, rec, &hook, d, key)
	if err != nil && ctx.Err() != nil {
		follow := func(ctx context.Context) { r.takeUnanswered(ctx, rec, hook, d, key) }
		if !r.late.follow(follow) {
			r.lost(rec, d, errClosed)
		}
	}
	return verdict, err
}

// byMachine is when the delivery came, by the machine's clock. The wall clock may have been set since then,
// and the machine hears of that within a second: until it does, the two show different times.
func (r *Receiver) byMachine(d Delivery) time.Time { return r.clock().Add(d.Received.Sub(r.now())) }

// keyOf picks the key of the account that the body names, or the first when it names none. It is nil when the account is not among them.
func keyOf(keys []*key, account string) *key {
	for _, k := range keys {
		if account == "" || k.account == account {
			return k
		}
	}
	return nil
}

// judge says what is to become of a verified hook.
func (r *Receiver) judge(rec controller.Record, hook controller.Hook, parseErr error, now time.Time) (controller.Verdict, string) {
	if parseErr != nil {
		r.log.Warn("a signed hook was not understood", "account", rec.Account, "type", rec.Type, "event", rec.Event, "error", parseErr)
		return controller.Quarantined, parseErr.Error()
	}
	if !rec.Sent.IsZero() {
		if skew := now.Sub(rec.Sent); skew > MaxSkew || skew < -MaxSkew {
			return controller.Stale, r.stale(rec, skew)
		}
	}
	switch {
	case hook.Kind == "":
		return controller.Ignored, "hooks of this type and event move nothing"
	case strings.HasPrefix(hook.Name, ReservedPrefix):
		return controller.Ignored, "round-trip test"
	case !r.machine.Knows(hook.Account, hook.Name):
		return controller.Ignored, "no stream of the configuration matches"
	}
	return controller.Accepted, ""
}

func (r *Receiver) stale(rec controller.Record, skew time.Duration) string {
	note := "sent " + skew.Round(time.Second).String() + " ago by this clock"
	if skew < 0 {
		note = "sent " + (-skew).Round(time.Second).String() + " in the future by this clock"
	}
	r.skewed.Do(func() {
		r.log.Error("a signed hook is not acted on: its time is too far from this clock; check the clock, or somebody replays old hooks", "stream", rec.Stream, "event", rec.Event, "sent", rec.Sent, "note", note)
	})
	return note
}

// store fills in the rest of rec, has it stored and counts. When it is accepted and hook is given, the machine stores it and acts on it.
func (r *Receiver) store(ctx context.Context, rec controller.Record, hook *controller.Hook, d Delivery, key *key) (verdict controller.Verdict, err error) {
	rec.Received = d.Received
	rec.Size = len(d.Body)
	rec.Sum = sha256.Sum256(d.Body)
	var duplicate bool
	if hook != nil && rec.Verdict == controller.Accepted {
		hook.Received = r.byMachine(d)
		rec.Seq, duplicate, err = r.machine.Take(ctx, rec, *hook)
	} else {
		rec.Seq, duplicate, err = r.journal.Append(ctx, rec)
	}
	if err != nil {
		if !errors.Is(err, controller.ErrStore) {
			err = fmt.Errorf("%w: %w", controller.ErrStore, err)
		}
		return r.refuse(causeStore, fmt.Errorf("journal a delivery: %w", err))
	}
	key.used(d.Received)
	if duplicate {
		rec.Verdict = controller.Duplicate
	} else if fresh(rec) {
		r.known.met(d.Peer, d.Received)
	}
	r.stats.count(rec.Verdict)
	r.arrivals.tell(rec)
	return rec.Verdict, nil
}

// fresh reports whether only somebody who can sign can have brought a delivery that is none's duplicate.
// Whoever has seen one can bring it again once a day: a picture, whose time is not signed, and a stale one.
func fresh(rec controller.Record) bool {
	return rec.Body != nil && !rec.Sent.IsZero() && (rec.Verdict == controller.Accepted || rec.Verdict == controller.Ignored)
}

// takeThumbnail keeps a picture. Its signature covers the picture alone: the headers are hints, believed only where they name a stream of the
// signing account that the configuration maps, and never a sign of life.
func (r *Receiver) takeThumbnail(ctx context.Context, d Delivery, key *key) (controller.Verdict, error) {
	rec := controller.Record{Account: key.account, Type: TypeThumbnail, Verdict: controller.Accepted}
	id := d.Header.Get(StreamHeader)
	account, name, ok := controller.SplitID(id)
	switch {
	case !bytes.HasPrefix(d.Body, []byte{0xFF, 0xD8, 0xFF}):
		rec.Verdict, rec.Note = controller.Quarantined, "the body is not a JPEG"
	case !ok || account != key.account || name == "" || checkName(name) != nil:
		rec.Verdict, rec.Note = controller.Ignored, "the headers name no stream of this account"
	case !r.machine.Knows(account, name):
		rec.Verdict, rec.Note = controller.Ignored, "no stream of the configuration matches"
	default:
		rec.Stream = id
	}
	at := d.Received
	if ms, err := strconv.ParseInt(d.Header.Get(TimestampHeader), 10, 64); err == nil {
		if sent := time.UnixMilli(ms).UTC(); sent.Sub(at).Abs() <= MaxSkew {
			at, rec.Sent = sent, sent
		}
	}
	verdict, err := r.store(ctx, rec, nil, d, key)
	if verdict != controller.Accepted || r.thumbs == nil {
		return verdict, err
	}
	if err := r.thumbs.SaveThumbnail(id, at, d.Body); err != nil {
		r.stats.thumbnailErrors.Add(1)
		r.log.Warn("a thumbnail was not kept", "stream", id, "error", err)
	}
	return verdict, nil
}

func (r *Receiver) refuse(why cause, err error) (controller.Verdict, error) {
	r.stats.results[why].Add(1)
	return "", err
}
