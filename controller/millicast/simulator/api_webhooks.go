package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

const (
	webhookPage = 10  // default length of the webhook list
	maxFilter   = 128 // characters
)

// flags are a webhook's switches by their names in the API.
func (w *Webhook) flags() map[string]*bool {
	return map[string]*bool{
		"isFeedHooks":             &w.Feeds,
		"isViewerConnectionHooks": &w.Viewers,
		"isThumbnailHooks":        &w.Thumbnails,
		"isTranscoderHooks":       &w.Transcoders,
		"isMediaHooks":            &w.Media,
		"isRecordingHooks":        &w.Recordings,
	}
}

// object is a webhook as the API shows it, secret included.
func (w Webhook) object() map[string]any {
	o := map[string]any{"id": w.ID, "url": w.URL, "secret": w.Secret.Reveal(), "disabled": nil, "filter": nil}
	for name, flag := range w.flags() {
		o[name] = *flag
	}
	if !w.DisabledUntil.IsZero() {
		o["disabled"] = map[string]any{"until": jsonTime(w.DisabledUntil), "reason": w.DisabledReason}
	}
	if w.Filter != "" {
		o["filter"] = w.Filter
	}
	return o
}

// apply changes a webhook by the keys that are there; null leaves a key as it is, except that it
// clears the filter.
func (w *webhook) apply(keys map[string]json.RawMessage) error {
	var refresh, enable bool
	for name, raw := range keys {
		var err error
		switch flag := w.flags()[name]; {
		case flag != nil:
			err = unmarshal(name, raw, flag)
		case name == "url":
			if err = unmarshal(name, raw, &w.URL); err == nil {
				err = checkURL(w.URL)
			}
			enable = true // a new address enables the webhook (source: the API's reference)
		case name == "refreshSecret":
			err = unmarshal(name, raw, &refresh)
		case name == "reEnable":
			var on bool
			err = unmarshal(name, raw, &on)
			enable = enable || on
		case name == "filter":
			err = w.applyFilter(raw)
		}
		if err != nil {
			return err
		}
	}
	if refresh {
		w.Secret = randomSecret()
	}
	if enable {
		w.enable()
	}
	return nil
}

func (w *webhook) applyFilter(raw json.RawMessage) error {
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil {
		return errors.New("filter must be a string or null")
	}
	if text == nil {
		return w.setFilter("")
	}
	if n := utf8.RuneCountInString(*text); n < 1 || n > maxFilter {
		return fmt.Errorf("filter must have 1 to %d characters", maxFilter)
	}
	if _, err := regexp.Compile(*text); err != nil {
		return errors.New("filter is not a regular expression")
	}
	return w.setFilter(*text)
}

func unmarshal(name string, raw json.RawMessage, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s has the wrong type", name)
	}
	return nil
}

// checkURL also allows http, unlike the platform: receivers under test have no certificate.
func checkURL(text string) error {
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("url must be an absolute http or https URL")
	}
	return nil
}

// createWebhook makes a new webhook every time: the platform does not look for one with the same
// url.
func (s *Simulator) createWebhook(r *http.Request) (any, error) {
	var keys map[string]json.RawMessage
	if err := readJSON(r, &keys); err != nil {
		return nil, err
	}
	for _, name := range []string{"url", "isFeedHooks"} {
		if raw, ok := keys[name]; !ok || string(raw) == "null" {
			return nil, fmt.Errorf("%s is required", name)
		}
	}
	var w webhook
	if err := w.apply(keys); err != nil {
		return nil, err
	}
	made, err := s.hooks.add(w.Webhook)
	if err != nil {
		return nil, err
	}
	return made.object(), nil
}

func (s *Simulator) listWebhooks(r *http.Request) (any, error) {
	start, err1 := intParam(r, "startingId", 0, 0, math.MaxInt32)
	count, err2 := intParam(r, "itemCount", webhookPage, 1, math.MaxInt32)
	descending, _, err3 := boolParam(r, "isDescending")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	list := s.hooks.all()
	if descending {
		slices.Reverse(list)
	}
	s.mu.Lock()
	after := s.behaviour.PageAfterStart
	s.mu.Unlock()
	page := []any{}
	for _, w := range list {
		ahead := w.ID - start // how far behind the start of the page
		if descending {
			ahead = -ahead
		}
		if start != 0 && (ahead < 0 || after && ahead == 0) {
			continue
		}
		if len(page) < count {
			page = append(page, w.object())
		}
	}
	return page, nil
}

func (s *Simulator) getWebhook(r *http.Request) (any, error) {
	return s.changeWebhook(r, func(*webhook) error { return nil })
}

func (s *Simulator) updateWebhook(r *http.Request) (any, error) {
	var keys map[string]json.RawMessage
	if err := readJSON(r, &keys); err != nil {
		return nil, err
	}
	return s.changeWebhook(r, func(w *webhook) error { return w.apply(keys) })
}

func (s *Simulator) changeWebhook(r *http.Request, f func(*webhook) error) (any, error) {
	id, err := webhookID(r)
	if err != nil {
		return nil, err
	}
	w, err := s.hooks.change(id, f)
	if err != nil {
		return nil, err
	}
	return w.object(), nil
}

func (s *Simulator) deleteWebhook(r *http.Request) (any, error) {
	id, err := webhookID(r)
	if err != nil {
		return nil, err
	}
	return true, s.hooks.remove(id)
}

func webhookID(r *http.Request) (int, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return 0, errNoWebhook
	}
	return id, nil
}

// testWebhooks sends a hook that looks real to every webhook that wants its kind.
func (s *Simulator) testWebhooks(r *http.Request) (any, error) {
	var asked struct{ StreamName, TranscoderName string }
	if r.ContentLength != 0 {
		if err := readJSON(r, &asked); err != nil {
			return nil, err
		}
	}
	stream, transcoder := asked.StreamName, asked.TranscoderName
	if stream == "" {
		stream = "test-stream"
	}
	if transcoder == "" {
		transcoder = "test-transcoder"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch kind := r.PathValue("kind"); kind {
	case "ViewerConnection":
		m := millicast.ViewerMessage(controller.HookAttempt, s.set.Account, stream, s.now())
		s.sendMessage(aboutViewers, stream, m)
	case "Feeds":
		feed := controller.Feed{ID: newFeedID(), Started: controller.ByPlatform(s.now())}
		m := millicast.FeedMessage(controller.HookFeedStarted, s.set.Account, stream, feed, s.now())
		s.sendMessage(aboutFeeds, stream, m)
	case "Media":
		return true, s.announce("media.completed", stream)
	case "Recordings":
		return true, s.announce("recording.completed", stream)
	case "Transcoder":
		return true, s.announce("transcoder.ACTIVE", transcoder)
	case "Thumbnail":
		picture, err := testCard(r.Context(), nil)
		if err != nil {
			return nil, err
		}
		s.sendThumbnail(stream, newFeedID(), 1, picture)
	default:
		return nil, fmt.Errorf("no webhook type %q", kind)
	}
	return true, nil
}

// DisableWebhook disables a webhook for a span of platform time, as the platform does when its
// receiver keeps timing out.
func (s *Simulator) DisableWebhook(id int, span time.Duration, reason string) error {
	_, err := s.hooks.change(id, func(w *webhook) error {
		w.DisabledUntil, w.DisabledReason = time.Now().Add(s.scaled(span)), reason
		return nil
	})
	return err
}
