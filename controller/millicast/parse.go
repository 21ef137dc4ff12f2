package millicast

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oncue/oncue/controller"
)

// maxName is the longest stream name, in characters (source: the platform's documentation).
const maxName = 128

// maxWord bounds type, event and feed id, in bytes. The platform's longest is 36.
const maxWord = 128

var (
	errType      = errors.New("the type is missing")
	errEvent     = errors.New("the event is missing")
	errTimestamp = errors.New("the timestamp is missing or no whole number of milliseconds")
	errData      = errors.New("the data is missing")
	errName      = errors.New("the stream's name is missing")
	errNameLong  = fmt.Errorf("the stream's name is longer than %d characters", maxName)
	errNameChar  = errors.New("the stream's name holds control characters")
	errFeed      = errors.New("the feed's id is missing")
	errWord      = errors.New("type, event or an id is too long or holds control characters")
)

// Parse reads the body of a JSON hook. The record has what the body tells: Account, Stream, Type, Event and Sent, each as far as it is there
// and in order. hook is nil for hooks that do not move the machine, whatever their type or event. An error says what is wrong with
// the body or with a hook that would move the machine; the record then has what could be read.
//
// Account is "" where the body names none. Received is left to the caller.
func Parse(body []byte) (rec controller.Record, hook *controller.Hook, err error) {
	rec, h, err := parse(body)
	if err != nil || h.Kind == "" {
		return rec, nil, err
	}
	return rec, &h, nil
}

// HookOf gives the hook of a record of the journal, for replay; ok is false when the record does not move the machine.
func HookOf(rec controller.Record) (hook controller.Hook, ok bool) {
	if rec.Type == TypeThumbnail || len(rec.Body) == 0 {
		return hook, false
	}
	_, hook, err := parse(rec.Body)
	hook.Account, hook.Received = rec.Account, rec.Received
	return hook, err == nil && hook.Kind != ""
}

// envelope is a hook's members, still as written.
type envelope struct {
	typ, event, timestamp, data                                                     value
	name, streamName, accountID, streamID, feedID, started, ended, priority, source value
}

var (
	topKeys  = []string{"type", "event", "timestamp", "data"}
	dataKeys = []string{"name", "accountId", "streamId", "feedId", "started", "ended", "sourceId", "priority", "streamName"}
)

// parse is Parse without the pointer; hook.Kind is "" when there is none.
func parse(body []byte) (rec controller.Record, hook controller.Hook, err error) {
	e, err := open(body)
	if err != nil {
		return rec, hook, err
	}
	var name string
	rec.Account, name, rec.Stream, err = e.stream()
	if err != nil {
		return rec, hook, err
	}
	var sent bool
	rec.Sent, sent = e.timestamp.time()
	if rec.Type, err = word(e.typ, spelled(e.typ.raw)); err != nil {
		return rec, hook, err
	}
	if rec.Event, err = word(e.event, spelled(e.event.raw)); err != nil {
		return rec, hook, err
	}
	if rec.Type == "" {
		return rec, hook, errType
	}
	kind, err := moves(rec.Type, rec.Event)
	if err != nil || kind == "" {
		return rec, hook, err
	}
	switch {
	case !sent:
		return rec, hook, errTimestamp
	case e.data.kind != kindObject:
		return rec, hook, errData
	case name == "":
		return rec, hook, errName
	}
	hook = controller.Hook{Account: rec.Account, Name: name, At: rec.Sent}
	if kind == controller.HookFeedStarted || kind == controller.HookFeedEnded {
		if hook.Feed, err = e.feed(kind, rec.Sent); err != nil {
			return rec, hook, err
		}
	}
	hook.Kind = kind
	return rec, hook, nil
}

// open checks the grammar of the body and finds its members.
func open(body []byte) (e envelope, err error) {
	if !utf8.Valid(body) {
		return e, errUTF8
	}
	s := scanner{in: body}
	if s.space(); s.at == len(body) {
		return e, errJSON
	}
	if body[s.at] != '{' {
		if _, err := s.value(); err != nil {
			return e, err
		}
		return e, errNoObject
	}
	if err := s.object(topKeys, e.top); err != nil {
		return e, err
	}
	if s.space(); s.at != len(body) {
		return e, errJSON
	}
	if e.data.kind == kindObject {
		// The depth of data within the body was counted when the body was read over.
		inner := scanner{in: e.data.raw}
		err = inner.object(dataKeys, e.inner)
	}
	return e, err
}

func (e *envelope) top(key []byte, v value) error {
	switch string(key) {
	case "type":
		e.typ = v
	case "event":
		e.event = v
	case "timestamp":
		e.timestamp = v
	case "data":
		e.data = v
	}
	return nil
}

func (e *envelope) inner(key []byte, v value) error {
	switch string(key) {
	case "name":
		e.name = v
	case "streamName":
		e.streamName = v
	case "accountId":
		e.accountID = v
	case "streamId":
		e.streamID = v
	case "feedId":
		e.feedID = v
	case "started":
		e.started = v
	case "ended":
		e.ended = v
	case "priority":
		e.priority = v
	case "sourceId":
		e.source = v
	}
	return nil
}

// stream finds the stream that the hook names: name, else streamName, else the tail of streamId, which is cut at its first slash. id is "" when
// account or name is missing.
func (e *envelope) stream() (account, name, id string, err error) {
	whole := e.streamID.text()
	head, tail, cut := controller.SplitID(whole)
	account, name = head, tail
	if !cut {
		account = ""
	}
	if !e.accountID.equal(head) { // else they share whole's memory, like the name below
		own, err := word(e.accountID, "")
		if err != nil {
			return "", "", "", err
		}
		if own != "" {
			account = own
		}
	}
	for _, v := range [...]value{e.name, e.streamName} {
		if v.kind == kindString && len(v.raw) > 0 {
			if !v.equal(tail) {
				name = v.text()
			}
			break
		}
	}
	switch {
	case account == "" || name == "":
	case cut && account == head && name == tail:
		id = whole
	default:
		id = account + "/" + name
	}
	if err := checkName(name); err != nil {
		return account, "", "", err
	}
	return account, name, id, nil
}

func (e *envelope) feed(kind controller.HookKind, sent time.Time) (controller.Feed, error) {
	id, err := word(e.feedID, "")
	if err != nil {
		return controller.Feed{}, err
	}
	if id == "" {
		return controller.Feed{}, errFeed
	}
	feed := controller.Feed{ID: id}
	if feed.SourceID, err = word(e.source, ""); err != nil {
		return feed, err
	}
	feed.Started, _ = e.started.time()
	if n, ok := e.priority.int(); ok {
		p := int(n)
		feed.Priority = &p
	}
	if kind == controller.HookFeedEnded {
		if at, ok := e.ended.time(); ok {
			feed.Ended = at
		} else {
			feed.Ended = sent
		}
	}
	return feed, nil
}

// moves tells which hook of the machine a type and an event are. Both changed their spelling before (camelCase became PascalCase), so case
// does not count. A missing event is an error where events matter.
func moves(typ, event string) (controller.HookKind, error) {
	var kinds [3]controller.HookKind
	switch {
	case strings.EqualFold(typ, TypeViewers):
		kinds = [3]controller.HookKind{controller.HookAttempt, controller.HookFirstViewer, controller.HookNoViewers}
	case strings.EqualFold(typ, TypeFeeds):
		kinds = [3]controller.HookKind{controller.HookFeedStarted, controller.HookFeedEnded}
	default:
		return "", nil
	}
	if event == "" {
		return "", errEvent
	}
	for _, k := range kinds {
		if strings.EqualFold(event, string(k)) {
			return k, nil
		}
	}
	return "", nil
}

// spelled returns the usual types and events without an allocation, and "" for all others.
func spelled(raw []byte) string {
	switch string(raw) {
	case TypeViewers:
		return TypeViewers
	case TypeFeeds:
		return TypeFeeds
	case string(controller.HookAttempt):
		return string(controller.HookAttempt)
	case string(controller.HookFirstViewer):
		return string(controller.HookFirstViewer)
	case string(controller.HookNoViewers):
		return string(controller.HookNoViewers)
	case string(controller.HookFeedStarted):
		return string(controller.HookFeedStarted)
	case string(controller.HookFeedEnded):
		return string(controller.HookFeedEnded)
	}
	return ""
}

// word reads a type, an event or an id. usual is its text where that is known already.
func word(v value, usual string) (string, error) {
	if v.kind != kindString {
		return "", nil
	}
	if usual != "" {
		return usual, nil
	}
	text := v.text()
	if len(text) > maxWord || strings.ContainsFunc(text, unicode.IsControl) {
		return "", errWord
	}
	return text, nil
}

func checkName(name string) error {
	if len(name) > maxName && utf8.RuneCountInString(name) > maxName {
		return errNameLong
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return errNameChar
		}
	}
	return nil
}

// Epoch numbers below oldSeconds are seconds, as older hooks had; others are milliseconds. As milliseconds it is in 1973, as seconds in 5138.
const oldSeconds = 100_000_000_000

// time reads an epoch number. Years after 5138 are not believed.
func (v value) time() (time.Time, bool) {
	n, ok := v.int()
	switch {
	case !ok || n <= 0 || n > 1000*oldSeconds:
		return time.Time{}, false
	case n < oldSeconds:
		return time.Unix(n, 0).UTC(), true
	}
	return time.UnixMilli(n).UTC(), true
}
