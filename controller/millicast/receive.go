package millicast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/oncue/oncue/controller"
)

// Limits of what a Receiver accepts.
const (
	MaxJSON = 64 << 10 // bytes of a JSON hook; the platform's have a few hundred
	MaxJPEG = 8 << 20  // bytes of a thumbnail
	MaxSkew = 10 * time.Minute
)

// ReservedPrefix starts the names of streams that exist for a round-trip test only. Hooks for them
// are stored and never acted on.
const ReservedPrefix = "oncue-roundtrip-"

// Errors of Receive. None of these deliveries is stored or acted on. When the store failed,
// controller.ErrStore is in the chain instead; if only the caller's time ran out, the delivery may
// still be stored, and then it is acted on.
var (
	ErrSignature   = errors.New("the signature is missing, wrong or another account's")
	ErrContentType = errors.New("the content type is neither JSON nor JPEG")
	ErrTooLarge    = errors.New("the delivery is too large")
)

// Journal stores deliveries that the controller does not act on. [controller.Store] is one.
type Journal interface {
	// Append stores r, as controller.Store says; r.Body is the journal's to keep.
	Append(ctx context.Context, r controller.Record) (seq int64, duplicate bool, err error)
}

// Controller is the controller as the platform's side sees it.
type Controller interface {
	// Knows reports whether the configuration maps the stream.
	Knows(account, name string) bool
	// Take stores an accepted hook as Journal does, and acts on it unless it is a duplicate. Hooks
	// may come in any order.
	Take(ctx context.Context, r controller.Record, h controller.Hook) (seq int64, duplicate bool, err error)
	// Deliver acts on a hook that is already stored. It does not block. A hook may come twice.
	Deliver(h controller.Hook)
}

// Thumbnails keeps the last picture of each stream. [ThumbnailDir] is one.
type Thumbnails interface {
	SaveThumbnail(id controller.StreamID, at time.Time, jpeg []byte) error
}

// A Delivery is one message of the platform as some transport brought it.
type Delivery struct {
	Via         string      // the transport, for the log: "http" today
	ContentType string      // of the body
	Header      http.Header // keys in canonical form; only the X-Millicast-* ones are read
	Body        []byte      // as sent, byte for byte; the Receiver owns it from now on
	Received    time.Time   // by the wall clock; zero: now
	Peer        string      // the sender, as far as the transport can tell; "" when it cannot
}

// Options are what a Receiver works with. Journal, Controller and Log are required.
type Options struct {
	Journal    Journal
	Controller Controller
	Thumbnails Thumbnails // nil: pictures are journaled and dropped
	Log        *slog.Logger
	Now        func() time.Time // wall clock; nil: time.Now
	Clock      func() time.Time // the controller's, from which its time-outs count; nil: Now
}

// Receiver accepts everything that the platform sends. It does not depend on a transport: the HTTP
// server calls Receive today, and any other transport would call the same method. All its methods
// may be called concurrently.
//
// Locks, in the order in which they may be taken: setting, held.mu, known.mu. All others are taken
// alone. No lock but setting, which only SetSecrets takes, is held during I/O.
type Receiver struct {
	journal    Journal
	controller Controller
	thumbs     Thumbnails
	log        *slog.Logger
	now        func() time.Time
	clock      func() time.Time

	setting  sync.Mutex              // held by SetSecrets
	ring     atomic.Pointer[keyring] // replaced under held.mu
	held     held
	known    knownPeers
	late     *late
	stats    counters
	arrivals arrivals

	skewed *rate.Limiter // limits log lines
	forged *rate.Limiter
}

// NewReceiver returns a Receiver without secrets: nothing verifies until SetSecrets.
func NewReceiver(o Options) (*Receiver, error) {
	if err := CheckSigning(); err != nil {
		return nil, err
	}
	r := &Receiver{
		journal: o.Journal, controller: o.Controller, thumbs: o.Thumbnails, log: o.Log, now: o.Now, clock: o.Clock,
		late:   newLate(),
		skewed: rate.NewLimiter(rate.Every(time.Minute), 1),
		forged: rate.NewLimiter(rate.Every(time.Minute), 1),
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

// Receive handles one delivery. When it returns a verdict without an error, the delivery has
// survived power loss. The verdicts are those of the hook endpoint.
func (r *Receiver) Receive(ctx context.Context, d Delivery) (controller.Verdict, error) {
	if d.Received.IsZero() {
		d.Received = r.now()
	}
	sig, why, err := inspect(d)
	if err != nil {
		return r.refuse(why, err)
	}
	keys := r.verify(d, sig)
	if len(keys) == 0 {
		return r.refuse(causeBadSignature, ErrSignature)
	}
	return r.receiveVerified(ctx, d, keys)
}

// receiveVerified continues with a delivery that keys verify.
func (r *Receiver) receiveVerified(ctx context.Context, d Delivery, keys []*key) (controller.Verdict, error) {
	in, ok := r.read(d, keys)
	if !ok {
		return r.refuse(causeWrongAccount, ErrSignature)
	}
	verdict, err := r.store(ctx, &in)
	switch {
	case err != nil && ctx.Err() != nil && !in.picture:
		r.follow(in)
	case verdict == controller.Accepted && in.picture:
		r.saveThumbnail(in)
	}
	return verdict, err
}

// inspect checks everything about a delivery that needs no secret.
func inspect(d Delivery) (sig signature, why cause, err error) {
	limit, ok := BodyLimit(d.ContentType)
	if !ok {
		return sig, causeContentType, ErrContentType
	}
	if int64(len(d.Body)) > limit {
		return sig, causeTooLarge, ErrTooLarge
	}
	texts := d.Header[SignatureHeader]
	if len(texts) == 0 {
		return sig, causeNoSignature, ErrSignature
	}
	sig, ok = parseSignature(texts[0])
	if !ok || len(texts) > 1 {
		return sig, causeBadSignature, ErrSignature
	}
	return sig, 0, nil
}

// BodyLimit returns the largest body of a content type, in bytes; ok is false for types that no
// delivery has. An absent type counts as JSON.
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

// store has the delivery stored. The controller stores and acts on what it is to act on; the
// journal stores the rest.
func (r *Receiver) store(ctx context.Context, in *incoming) (controller.Verdict, error) {
	if !in.acts() {
		return r.append(ctx, in)
	}
	in.hook.Received = r.byController(in.Received)
	seq, duplicate, err := r.controller.Take(ctx, in.record, in.hook)
	return r.stored(in, seq, duplicate, err)
}

// append has the journal store the delivery, whatever the controller is to do with it.
func (r *Receiver) append(ctx context.Context, in *incoming) (controller.Verdict, error) {
	seq, duplicate, err := r.journal.Append(ctx, in.record)
	return r.stored(in, seq, duplicate, err)
}

// stored counts a delivery and announces it, once the store has answered.
func (r *Receiver) stored(in *incoming, seq int64, duplicate bool, err error) (controller.Verdict, error) {
	if err != nil {
		if !errors.Is(err, controller.ErrStore) {
			err = fmt.Errorf("%w: %w", controller.ErrStore, err)
		}
		return r.refuse(causeStore, fmt.Errorf("journal a delivery: %w", err))
	}
	rec := in.record
	rec.Seq = seq
	in.key.used(in.Received)
	if duplicate {
		rec.Verdict = controller.Duplicate
	} else if in.provesSender() {
		r.known.add(in.Peer, in.Received)
	}
	r.stats.count(rec.Verdict)
	r.arrivals.announce(rec)
	return rec.Verdict, nil
}

// byController converts a wall-clock time to the controller's clock. After somebody has set the
// wall clock, the controller follows within a second; until then the two clocks show different
// times.
func (r *Receiver) byController(t time.Time) time.Time { return r.clock().Add(t.Sub(r.now())) }

// saveThumbnail keeps an accepted picture.
func (r *Receiver) saveThumbnail(in incoming) {
	if r.thumbs == nil {
		return
	}
	at := in.record.Sent
	if at.IsZero() {
		at = in.Received
	}
	if err := r.thumbs.SaveThumbnail(in.record.Stream, at, in.Body); err != nil {
		r.stats.thumbnailErrors.Add(1)
		r.log.Warn("a thumbnail was not saved", "stream", in.record.Stream, "error", err)
	}
}

func (r *Receiver) refuse(why cause, err error) (controller.Verdict, error) {
	r.stats.results[why].Add(1)
	return "", err
}
