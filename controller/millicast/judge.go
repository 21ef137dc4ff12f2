package millicast

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

// incoming is a verified delivery on its way into the store.
type incoming struct {
	Delivery
	key     *key // verifies it, and is a key of the account that it names
	picture bool
	record  controller.Record // complete but for Seq
	hook    controller.Hook   // Kind is "" when the controller does not act on hooks of this kind
}

// acts reports whether the controller is to act on the delivery.
func (in *incoming) acts() bool {
	return in.record.Verdict == controller.Accepted && in.hook.Kind != ""
}

// provesSender reports whether only somebody who can sign can have brought the delivery, given that
// it is no duplicate. Two kinds can be replayed once a day by anybody who has seen them: pictures,
// whose time is not signed, and stale hooks.
func (in *incoming) provesSender() bool {
	fresh := in.record.Verdict == controller.Accepted || in.record.Verdict == controller.Ignored
	return fresh && !in.picture && !in.record.Sent.IsZero()
}

// read reads and judges a delivery that keys verify. ok is false when it names an account that none
// of the keys belongs to.
func (r *Receiver) read(d Delivery, keys []*key) (in incoming, ok bool) {
	limit, _ := BodyLimit(d.ContentType)
	in = incoming{Delivery: d, picture: limit == MaxJPEG}
	if in.picture {
		in.key = keys[0]
		r.readPicture(&in)
	} else if !r.readHook(&in, keys) {
		return in, false
	}
	in.record.Received = d.Received
	in.record.Size = len(d.Body)
	in.record.Sum = sha256.Sum256(d.Body)
	return in, true
}

// readHook fills in record, hook and key. It returns false when the body names an account that none
// of the keys belongs to.
func (r *Receiver) readHook(in *incoming, keys []*key) bool {
	rec, hook, err := parse(in.Body)
	if in.key = keyOf(keys, rec.Account); in.key == nil {
		return false
	}
	if rec.Account == "" {
		rec.Account, hook.Account = in.key.account, in.key.account
		if hook.Name != "" {
			rec.Stream = hook.StreamID()
		}
	}
	rec.Verdict, rec.Note = r.judge(rec, hook, err)
	rec.Body = in.Body
	in.record, in.hook = rec, hook
	return true
}

// keyOf returns the key of the account that the body names, or the first when it names none. It is
// nil when no key belongs to the account.
func keyOf(keys []*key, account string) *key {
	for _, k := range keys {
		if account == "" || k.account == account {
			return k
		}
	}
	return nil
}

// judge returns the verdict on a verified hook, and a note that gives the reason.
func (r *Receiver) judge(rec controller.Record, hook controller.Hook, parseErr error) (controller.Verdict, string) {
	if parseErr != nil {
		r.log.Warn("a signed hook was not understood",
			"account", rec.Account, "type", rec.Type, "event", rec.Event, "error", parseErr)
		return controller.Quarantined, parseErr.Error()
	}
	if skew := r.now().Sub(rec.Sent); !rec.Sent.IsZero() && skew.Abs() > MaxSkew {
		return controller.Stale, r.noteSkew(rec, skew)
	}
	switch {
	case hook.Kind == "":
		return controller.Ignored, "oncue does not act on this type and event"
	case strings.HasPrefix(hook.Name, ReservedPrefix):
		return controller.Ignored, "round-trip test"
	case !r.controller.Knows(hook.Account, hook.Name):
		return controller.Ignored, noStream
	}
	return controller.Accepted, ""
}

const noStream = "no stream of the configuration matches"

// noteSkew describes the skew of a stale hook, and logs the first of a minute.
func (r *Receiver) noteSkew(rec controller.Record, skew time.Duration) string {
	note := "sent " + skew.Abs().Round(time.Second).String() + " ago by this clock"
	if skew < 0 {
		note = "sent " + skew.Abs().Round(time.Second).String() + " in the future by this clock"
	}
	if r.skewed.Allow() {
		r.log.Error("a signed hook is not acted on: its time is too far from this clock; "+
			"check the clock, or somebody replays old hooks",
			"stream", rec.Stream, "event", rec.Event, "sent", rec.Sent, "note", note)
	}
	return note
}

// readPicture fills in the record of a thumbnail. Its signature covers the picture alone: the
// headers are hints, believed only where they name a stream of the signing account that the
// configuration maps, and never a sign of life.
func (r *Receiver) readPicture(in *incoming) {
	rec := &in.record
	rec.Account, rec.Type, rec.Verdict = in.key.account, TypeThumbnail, controller.Accepted
	id := controller.StreamID(in.Header.Get(StreamHeader))
	account, name, ok := id.Split()
	switch {
	case !bytes.HasPrefix(in.Body, []byte{0xFF, 0xD8, 0xFF}):
		rec.Verdict, rec.Note = controller.Quarantined, "the body is not a JPEG"
	case !ok || account != rec.Account || name == "" || checkName(name) != nil:
		rec.Verdict, rec.Note = controller.Ignored, "the headers name no stream of this account"
	case !r.controller.Knows(account, name):
		rec.Verdict, rec.Note = controller.Ignored, noStream
	default:
		rec.Stream = id
	}
	if ms, err := strconv.ParseInt(in.Header.Get(TimestampHeader), 10, 64); err == nil {
		if sent := time.UnixMilli(ms).UTC(); sent.Sub(in.Received).Abs() <= MaxSkew {
			rec.Sent = sent
		}
	}
}
