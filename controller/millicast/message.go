package millicast

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Types of hooks, as the platform spells them.
const (
	TypeViewers    = "viewerConnection"
	TypeFeeds      = "feeds"
	TypeMedia      = "media"
	TypeRecording  = "recording"
	TypeTranscoder = "transcoder"
	TypeThumbnail  = "thumbnail" // oncue's name: the platform sends a bare JPEG, without a type
)

// Content types of deliveries.
const (
	ContentJSON = "application/json"
	ContentJPEG = "image/jpeg"
)

// A Message is one hook as the platform would write it. The simulator, `oncue hook` and tests send
// Messages. Data is one of the *Data types, or anything that marshals to JSON.
type Message struct {
	Type  string
	Event string
	Sent  time.Time
	Data  any
}

// Body is the message as JSON, its keys in the platform's order. It panics when Data does not
// marshal.
func (m Message) Body() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Type      string `json:"type"`
		Event     string `json:"event"`
		Timestamp int64  `json:"timestamp"`
		Data      any    `json:"data"`
	}{m.Type, m.Event, m.Sent.UnixMilli(), m.Data})
	if err != nil {
		panic(fmt.Sprintf("message %s %s: %v", m.Type, m.Event, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// StreamData names the stream of a viewer event.
type StreamData struct {
	Name      string `json:"name"`
	AccountID string `json:"accountId"`
	StreamID  string `json:"streamId"`
}

// FeedData is the data of a feed event. Started and Ended are epoch milliseconds; the platform
// omits Started when the feed ends.
type FeedData struct {
	FeedID    string `json:"feedId"`
	AccountID string `json:"accountId"`
	Name      string `json:"name"`
	StreamID  string `json:"streamId"`
	Started   int64  `json:"started,omitzero"`
	Ended     int64  `json:"ended,omitzero"`
	Active    bool   `json:"active"`
	SourceID  string `json:"sourceId,omitzero"`
	Priority  *int   `json:"priority,omitempty"`

	SimulcastID *string `json:"simulcastId,omitempty"`
}

// MediaData is the data of an event of a clip or a recording that the platform made.
type MediaData struct {
	MediaAssetID string         `json:"mediaAssetId"` // 32 hexadecimal digits
	TokenID      int            `json:"tokenId,omitzero"`
	StreamName   string         `json:"streamName"`
	StreamID     string         `json:"streamId"`
	StartTime    int64          `json:"startTime"` // epoch milliseconds
	Metadata     map[string]any `json:"metadata,omitempty"`
	Kind         string         `json:"type"`                // "clip" or "recording"
	Expiration   int64          `json:"expiration,omitzero"` // epoch milliseconds
}

// RecordingData is the data of the platform's older recording events, which are deprecated.
type RecordingData struct {
	RecordFileID int    `json:"recordFileId"`
	TokenID      int    `json:"tokenId"`
	StreamName   string `json:"streamName"`
	RecordedOn   int64  `json:"recordedOn"` // epoch milliseconds
}

// TranscoderData is the data of a transcoder event. It names no stream.
type TranscoderData struct {
	TranscoderID   string `json:"transcoderId"`
	TranscoderName string `json:"transcoderName"`
	Cluster        string `json:"cluster"`
	CreatedOn      string `json:"createdOn"` // RFC 3339, whole seconds
	Status         string `json:"status"`    // "Active", "Shutdown" or "Deleted"
}

// transcoderStatus is the state that each event of a transcoder tells.
var transcoderStatus = map[string]string{"ACTIVE": "Active", "STOPPED": "Shutdown", "DELETED": "Deleted"}

// ViewerMessage says that viewers came or went: HookAttempt, HookFirstViewer or HookNoViewers.
func ViewerMessage(kind controller.HookKind, account, name string, sent time.Time) Message {
	return Message{TypeViewers, string(kind), sent, StreamData{name, account, string(controller.JoinID(account, name))}}
}

// FeedMessage says that a publisher's connection began or ended: HookFeedStarted or HookFeedEnded.
func FeedMessage(kind controller.HookKind, account, name string, feed controller.Feed, sent time.Time) Message {
	data := FeedData{
		FeedID: feed.ID, AccountID: account, Name: name, StreamID: string(controller.JoinID(account, name)),
		Active: kind == controller.HookFeedStarted, SourceID: feed.SourceID, Priority: feed.Priority,
	}
	if data.Active && !feed.Started.IsZero() {
		data.Started = feed.Started.Time().UnixMilli()
	}
	if !data.Active && !feed.Ended.IsZero() {
		data.Ended = feed.Ended.Time().UnixMilli()
	}
	return Message{TypeFeeds, string(kind), sent, data}
}

// events lists the events that NewMessage knows; a bare event name means the first entry that has
// it.
var events = [...]struct{ typ, event string }{
	{TypeViewers, string(controller.HookAttempt)},
	{TypeViewers, string(controller.HookFirstViewer)},
	{TypeViewers, string(controller.HookNoViewers)},
	{TypeFeeds, string(controller.HookFeedStarted)},
	{TypeFeeds, string(controller.HookFeedEnded)},
	{TypeMedia, "processing"}, {TypeMedia, "completed"}, {TypeMedia, "errored"}, {TypeMedia, "deleted"},
	{TypeTranscoder, "ACTIVE"}, {TypeTranscoder, "STOPPED"}, {TypeTranscoder, "DELETED"},
	{TypeRecording, "started"}, {TypeRecording, "completed"}, {TypeRecording, "error"}, {TypeRecording, "deleted"},
}

// EventNames lists the events that NewMessage knows, as "type.event".
func EventNames() []string {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = e.typ + "." + e.event
	}
	return names
}

// NewMessage makes a plausible hook of the named event for a stream. The event is the platform's
// name in any case, alone or as "type.event" where the name alone means another type's event
// (recording.started). id becomes the id of the feed, clip, recording or transcoder.
func NewMessage(event, account, name, id string, sent time.Time) (Message, error) {
	for _, e := range events {
		if !strings.EqualFold(event, e.event) && !strings.EqualFold(event, e.typ+"."+e.event) {
			continue
		}
		switch e.typ {
		case TypeViewers:
			return ViewerMessage(controller.HookKind(e.event), account, name, sent), nil
		case TypeFeeds:
			feed := controller.Feed{ID: id, Started: controller.ByPlatform(sent), Ended: controller.ByPlatform(sent)}
			return FeedMessage(controller.HookKind(e.event), account, name, feed, sent), nil
		case TypeMedia:
			return Message{e.typ, e.event, sent, MediaData{
				MediaAssetID: id, TokenID: 1, StreamName: name, StreamID: string(controller.JoinID(account, name)),
				StartTime: sent.UnixMilli(), Kind: "recording",
			}}, nil
		case TypeTranscoder:
			at := sent.UTC().Format(time.RFC3339)
			return Message{e.typ, e.event, sent, TranscoderData{id, name, "auto", at, transcoderStatus[e.event]}}, nil
		default:
			return Message{e.typ, e.event, sent, RecordingData{wholeID(id), 1, name, sent.UnixMilli()}}, nil
		}
	}
	return Message{}, fmt.Errorf("the platform sends no event %q; known are %s",
		event, strings.Join(EventNames(), ", "))
}

// wholeID makes a whole number of an id that somebody chose, always the same one.
func wholeID(id string) int {
	if n, err := strconv.Atoi(id); err == nil {
		return n
	}
	return int(crc32.ChecksumIEEE([]byte(id)))
}

// NewRequest makes the POST that carries body to a receiver, signed with key. For a thumbnail, add
// [ThumbnailHeader].
func NewRequest(
	ctx context.Context, url string, key secret.Value, contentType string, body []byte,
) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("hook request: %w", err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set(SignatureHeader, Sign(key, body))
	return req, nil
}

// Headers of a thumbnail's delivery. The signature does not cover them.
const (
	StreamHeader    = "X-Millicast-Stream-Id"
	FeedHeader      = "X-Millicast-Feed-Id"
	TokenHeader     = "X-Millicast-Token-Id"
	TimestampHeader = "X-Millicast-Timestamp"
)

// ThumbnailHeader adds to h the headers that the platform sends with a thumbnail.
func ThumbnailHeader(h http.Header, account, name, feedID, tokenID string, sent time.Time) {
	h.Set(StreamHeader, string(controller.JoinID(account, name)))
	h.Set(FeedHeader, feedID)
	h.Set(TokenHeader, tokenID)
	h.Set(TimestampHeader, strconv.FormatInt(sent.UnixMilli(), 10))
}
