package millicast

import (
	"cmp"
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

// maxIdentifier is the longest type, event or id, in bytes. The platform's longest is 36.
const maxIdentifier = 128

var (
	errType       = errors.New("the type is missing")
	errEvent      = errors.New("the event is missing")
	errTimestamp  = errors.New("the timestamp is missing or not a whole number of milliseconds")
	errData       = errors.New("the data is missing")
	errName       = errors.New("the stream's name is missing")
	errNameLong   = fmt.Errorf("the stream's name is longer than %d characters", maxName)
	errNameChar   = errors.New("the stream's name contains control characters")
	errFeed       = errors.New("the feed's id is missing")
	errIdentifier = errors.New("type, event or an id is too long or contains control characters")
)

// Parse reads the body of a JSON hook. The record has what the body says: Account, Stream, Type,
// Event and Sent, each as far as it is there and valid; Account is "" where the body names none.
// hook is nil for hooks that the controller does not act on, whatever their type or event. An error
// says what is wrong with the body, or with a hook that the controller would act on; the record
// then has what could be read. Received is left to the caller.
func Parse(body []byte) (rec controller.Record, hook *controller.Hook, err error) {
	rec, h, err := parse(body)
	if err != nil || h.Kind == "" {
		return rec, nil, err
	}
	return rec, &h, nil
}

// HookOf returns the hook of a record of the journal, for replay; ok is false when the controller
// does not act on it.
func HookOf(rec controller.Record) (hook controller.Hook, ok bool) {
	if rec.Type == TypeThumbnail || len(rec.Body) == 0 {
		return hook, false
	}
	_, hook, err := parse(rec.Body)
	hook.Account, hook.Received = rec.Account, rec.Received
	return hook, err == nil && hook.Kind != ""
}

// The members that are read, by their places in envelope.top and envelope.data.
const (
	keyType = iota
	keyEvent
	keyTimestamp
	keyData
)

const (
	keyName = iota
	keyStreamName
	keyAccountID
	keyStreamID
	keyFeedID
	keyStarted
	keyEnded
	keySourceID
	keyPriority
)

var (
	topKeys  = [...]string{keyType: "type", keyEvent: "event", keyTimestamp: "timestamp", keyData: "data"}
	dataKeys = [...]string{
		keyName: "name", keyStreamName: "streamName", keyAccountID: "accountId", keyStreamID: "streamId",
		keyFeedID: "feedId", keyStarted: "started", keyEnded: "ended", keySourceID: "sourceId", keyPriority: "priority",
	}
)

// envelope is a hook's members, still as written; the zero value stands for what is missing.
type envelope struct {
	top  [len(topKeys)]value
	data [len(dataKeys)]value
}

// parse is Parse without the pointer; hook.Kind is "" when there is none.
func parse(body []byte) (rec controller.Record, hook controller.Hook, err error) {
	e, err := open(body)
	if err != nil {
		return rec, hook, err
	}
	var name string
	if rec.Account, name, err = e.stream(); err != nil {
		return rec, hook, err
	}
	if rec.Account != "" && name != "" {
		rec.Stream = controller.JoinID(rec.Account, name)
	}
	var sent bool
	rec.Sent, sent = e.top[keyTimestamp].time()
	if rec.Type, err = identifier(e.top[keyType]); err != nil {
		return rec, hook, err
	}
	if rec.Event, err = identifier(e.top[keyEvent]); err != nil {
		return rec, hook, err
	}
	if rec.Type == "" {
		return rec, hook, errType
	}
	kind, err := kindOf(rec.Type, rec.Event)
	if err != nil || kind == "" {
		return rec, hook, err
	}
	switch {
	case !sent:
		return rec, hook, errTimestamp
	case e.top[keyData].kind != kindObject:
		return rec, hook, errData
	case name == "":
		return rec, hook, errName
	}
	hook = controller.Hook{Account: rec.Account, Name: name, At: controller.ByPlatform(rec.Sent)}
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
	if err := s.object(topKeys[:], e.top[:]); err != nil {
		return e, err
	}
	if s.space(); s.at != len(body) {
		return e, errJSON
	}
	if data := e.top[keyData]; data.kind == kindObject {
		inner := scanner{in: data.raw} // its depth was already counted as part of the body's
		err = inner.object(dataKeys[:], e.data[:])
	}
	return e, err
}

// stream finds the stream that the hook names. The account is accountId, else the head of streamId;
// the name is name, else streamName, else the tail of streamId, which is cut at its first slash.
// Either is "" when it is missing.
func (e *envelope) stream() (account, name string, err error) {
	account, name, ok := controller.StreamID(e.data[keyStreamID].text()).Split()
	if !ok {
		account = ""
	}
	own, err := identifier(e.data[keyAccountID])
	if err != nil {
		return "", "", err
	}
	account = cmp.Or(own, account)
	name = cmp.Or(e.data[keyName].text(), e.data[keyStreamName].text(), name)
	if err := checkName(name); err != nil {
		return account, "", err
	}
	return account, name, nil
}

func (e *envelope) feed(kind controller.HookKind, sent time.Time) (controller.Feed, error) {
	id, err := identifier(e.data[keyFeedID])
	if err != nil {
		return controller.Feed{}, err
	}
	if id == "" {
		return controller.Feed{}, errFeed
	}
	feed := controller.Feed{ID: id}
	if feed.SourceID, err = identifier(e.data[keySourceID]); err != nil {
		return feed, err
	}
	started, _ := e.data[keyStarted].time()
	feed.Started = controller.ByPlatform(started)
	if n, ok := e.data[keyPriority].int(); ok {
		p := int(n)
		feed.Priority = &p
	}
	if kind == controller.HookFeedEnded {
		at, _ := e.data[keyEnded].time()
		feed.Ended = controller.ByPlatform(cmp.Or(at, sent))
	}
	return feed, nil
}

// kindOf returns the kind of a hook that the controller acts on, "" for others. The platform has
// changed the spelling of types and events before (camelCase became PascalCase), so case does not
// count. A missing event is an error where events matter.
func kindOf(typ, event string) (controller.HookKind, error) {
	var kinds []controller.HookKind
	switch {
	case strings.EqualFold(typ, TypeViewers):
		kinds = []controller.HookKind{controller.HookAttempt, controller.HookFirstViewer, controller.HookNoViewers}
	case strings.EqualFold(typ, TypeFeeds):
		kinds = []controller.HookKind{controller.HookFeedStarted, controller.HookFeedEnded}
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

// identifier reads a type, an event or an id; "" when it is no string.
func identifier(v value) (string, error) {
	text := v.text()
	if len(text) > maxIdentifier || strings.ContainsFunc(text, unicode.IsControl) {
		return "", errIdentifier
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

// Epoch numbers below oldSeconds are seconds, as in older hooks; others are milliseconds. The
// number itself is in 1973 as milliseconds, and in 5138 as seconds.
const oldSeconds = 100_000_000_000

// epoch converts an epoch number to a time. ok is false for years after 5138.
func epoch(n int64) (at time.Time, ok bool) {
	switch {
	case n <= 0 || n > 1000*oldSeconds:
		return time.Time{}, false
	case n < oldSeconds:
		return time.Unix(n, 0).UTC(), true
	}
	return time.UnixMilli(n).UTC(), true
}

// time reads an epoch number.
func (v value) time() (time.Time, bool) {
	n, ok := v.int()
	if !ok {
		return time.Time{}, false
	}
	return epoch(n)
}
