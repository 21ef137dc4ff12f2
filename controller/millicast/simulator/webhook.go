package simulator

import (
	"crypto/rand"
	"encoding/base64"
	"regexp"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// Webhook is one webhook of the account, as the REST API shows it.
type Webhook struct {
	ID     int
	URL    string
	Secret secret.Value // base64

	Feeds, Viewers, Thumbnails, Transcoders, Media, Recordings bool // the kinds of hooks that it gets

	Filter         string    // regular expression on names of streams or transcoders; "": all
	DisabledUntil  time.Time // zero while enabled
	DisabledReason string
}

// webhook is a registered webhook. Guarded by hooks.mu.
type webhook struct {
	Webhook
	filter   *regexp.Regexp
	whole    *regexp.Regexp // the filter, for the whole name
	timeouts int            // deliveries in a row that timed out
}

// setFilter compiles the filter; it says nothing of its length, which is the API's to check.
func (w *webhook) setFilter(text string) error {
	w.Filter, w.filter, w.whole = text, nil, nil
	if text == "" {
		return nil
	}
	filter, err := regexp.Compile(text)
	if err != nil {
		return err
	}
	w.filter, w.whole = filter, regexp.MustCompile("^(?:"+text+")$")
	return nil
}

// subject is what a hook is about, and so which webhooks want it.
type subject int

const (
	aboutFeeds subject = iota
	aboutViewers
	aboutThumbnails
	aboutTranscoders
	aboutMedia
	aboutRecordings
)

// wants reports whether the webhook takes hooks of a subject about a name: that of the stream, or
// of the transcoder for a transcoder's hooks. "A filter is a regular expression. Only events
// matching the filter will be sent to the webhook" (source: the vendor's documentation, "Webhooks",
// which lists feeds, media, thumbnail, viewerConnection and transcoder; that the deprecated
// recording hooks are filtered too is inferred, and whether the whole name must match is not
// documented).
func (w *webhook) wants(about subject, name string, whole bool) bool {
	on := [...]bool{
		aboutFeeds: w.Feeds, aboutViewers: w.Viewers, aboutThumbnails: w.Thumbnails,
		aboutTranscoders: w.Transcoders, aboutMedia: w.Media, aboutRecordings: w.Recordings,
	}[about]
	filter := w.filter
	if whole {
		filter = w.whole
	}
	return on && (filter == nil || filter.MatchString(name))
}

// disabled reports whether the webhook is disabled, and enables it again when its time is over.
func (w *webhook) disabled(now time.Time) bool {
	if !w.DisabledUntil.IsZero() && now.After(w.DisabledUntil) {
		w.enable()
	}
	return !w.DisabledUntil.IsZero()
}

func (w *webhook) enable() {
	w.DisabledUntil, w.DisabledReason, w.timeouts = time.Time{}, "", 0
}

func randomSecret() secret.Value {
	key := make([]byte, 32)
	rand.Read(key)
	return secret.New(base64.StdEncoding.EncodeToString(key))
}
