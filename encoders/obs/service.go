package obs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/oncue/oncue/encoders"
)

// service is where OBS streams to, in OBS's words. The zero service leaves OBS's own settings
// alone.
type service struct {
	kind    string            // streamServiceType
	shown   string            // where to, without secrets
	values  map[string]any    // streamServiceSettings; secrets in it
	secrets map[string]string // the values that are compared and never shown, by key
}

const (
	serviceCustom = "rtmp_custom"
	serviceWHIP   = "whip_custom" // OBS ≥ 30
	whipSince     = 30
)

// service reads Job.Publish, if it is to be put into OBS. Its errors do not show it.
func (s Settings) service(job encoders.Job) (service, error) {
	if !s.SetService {
		return service{}, nil
	}
	if !job.Publish.Set() {
		return service{}, errors.New("set_service is on, and the stream has no publish URL to put into OBS")
	}
	u, err := url.Parse(job.Publish.Reveal())
	if err != nil || u.Host == "" {
		return service{}, errors.New("the publish URL is not one that can be put into OBS")
	}
	switch scheme := strings.ToLower(u.Scheme); scheme {
	case "rtmp", "rtmps":
		return rtmpService(job.Publish.Reveal(), u), nil
	case "srt":
		return srtService(u), nil
	case "https", "http", "whip", "whips":
		return whipService(u), nil
	default:
		return service{}, fmt.Errorf("the publish URL begins with %s:, which OBS cannot stream to; "+
			"use rtmp, rtmps, srt, or https for WHIP", scheme)
	}
}

// rtmpService splits the URL as OBS wants it: server is the part up to the application (/v2/pub),
// key all that follows. Stream names may hold slashes, so it looks for the platform's application
// first.
func rtmpService(text string, u *url.URL) service {
	bare, query, hasQuery := strings.Cut(text, "?")
	at := strings.LastIndexByte(bare, '/')
	if app := strings.Index(bare, "/v2/pub/"); app >= 0 {
		at = app + len("/v2/pub")
	}
	server, key := bare, ""
	if at > len(u.Scheme)+2 { // after "scheme://"
		server, key = bare[:at], bare[at+1:]
	}
	if hasQuery {
		key += "?" + query
	}
	return service{
		kind: serviceCustom, shown: u.Scheme + "://" + u.Host + afterHost(server),
		values:  map[string]any{"server": server, "key": key, "use_auth": false},
		secrets: map[string]string{"server": server, "key": key},
	}
}

// afterHost is the path of a URL as it is written, with its slash.
func afterHost(text string) string {
	_, rest, _ := strings.Cut(text, "://")
	_, path, found := strings.Cut(rest, "/")
	if !found {
		return ""
	}
	return "/" + path
}

// srtService gives the stream id as the key. In the server's URL, OBS would use it without undoing
// the percent-encoding (seen with OBS 29).
func srtService(u *url.URL) service {
	server := *u
	key := ""
	kept := slices.DeleteFunc(strings.Split(u.RawQuery, "&"), func(pair string) bool {
		id, is := strings.CutPrefix(pair, "streamid=")
		if is {
			key = decoded(id)
		}
		return is || pair == ""
	})
	server.RawQuery = strings.Join(kept, "&")
	return service{
		kind: serviceCustom, shown: "srt://" + u.Host,
		values:  map[string]any{"server": server.String(), "key": key, "use_auth": false},
		secrets: map[string]string{"server": server.String(), "key": key},
	}
}

// decoded undoes one percent-encoding; other texts stay as they are.
func decoded(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// whipService: the endpoint is the URL without its token parameter, which goes into the
// Authorization header.
func whipService(u *url.URL) service {
	endpoint := *u
	q := endpoint.Query()
	token := cmp.Or(q.Get("token"), q.Get("auth"))
	q.Del("token")
	q.Del("auth")
	endpoint.RawQuery = q.Encode()
	endpoint.Scheme = map[string]string{"whip": "http", "whips": "https"}[strings.ToLower(u.Scheme)]
	if endpoint.Scheme == "" {
		endpoint.Scheme = strings.ToLower(u.Scheme)
	}
	return service{
		kind: serviceWHIP, shown: endpoint.Scheme + "://" + endpoint.Host + endpoint.Path,
		values:  map[string]any{"server": endpoint.String(), "bearer_token": token},
		secrets: map[string]string{"server": endpoint.String(), "bearer_token": token},
	}
}

func (s service) isZero() bool { return s.kind == "" }

// fits returns an error if this OBS has no such service.
func (s service) fits(v version) error {
	if s.kind == serviceWHIP && v.major() < whipSince {
		return encoders.Permanent(fmt.Errorf("obs is version %s, and WHIP needs %d or newer: update OBS, "+
			"or publish over RTMPS or SRT", v.OBS, whipSince))
	}
	return nil
}

// set puts the service into OBS, which must be stopped, and reads it back.
func (s service) set(ctx context.Context, e *Encoder, sess *session) error {
	data := map[string]any{"streamServiceType": s.kind, "streamServiceSettings": s.values}
	if err := e.patiently(ctx, sess, "SetStreamServiceSettings", data, nil); err != nil {
		return fmt.Errorf("put the stream settings into obs: %w", withoutComment(err))
	}
	same, err := s.isSet(ctx, e, sess)
	if err == nil && !same {
		err = errors.New("obs did not keep them")
	}
	if err != nil {
		return fmt.Errorf("read the stream settings back: %w", err)
	}
	return nil
}

// isSet reports whether OBS has this service.
func (s service) isSet(ctx context.Context, e *Encoder, sess *session) (bool, error) {
	kind, values, err := readService(ctx, e, sess)
	if err != nil || kind != s.kind {
		return false, err
	}
	for key, want := range s.secrets {
		if got, _ := values[key].(string); got != want {
			return false, nil
		}
	}
	return true, nil
}

// readService asks OBS for its stream settings. They include the key.
func readService(ctx context.Context, e *Encoder, sess *session) (kind string, values map[string]any, err error) {
	var answer struct {
		Kind   string         `json:"streamServiceType"`
		Values map[string]any `json:"streamServiceSettings"`
	}
	err = e.patiently(ctx, sess, "GetStreamServiceSettings", nil, &answer)
	return answer.Kind, answer.Values, withoutComment(err)
}

// withoutComment removes OBS's own words from a refusal: they could repeat a key.
func withoutComment(err error) error {
	var r *requestError
	if errors.As(err, &r) {
		return &requestError{Type: r.Type, Code: r.Code}
	}
	return err
}
