package obs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/encoders"
)

// service is where OBS streams to, in OBS's words. The zero service leaves OBS's own settings
// alone.
type service struct {
	kind    string            // streamServiceType; "": that of the service in OBS, which stays
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
	if !s.NeedsPublish() {
		return service{}, nil
	}
	if !job.Publish.Set() {
		return service{}, errors.New("set_service is on, and the stream has no publish URL to put into OBS")
	}
	a, err := ingest.Parse(job.Publish.Reveal())
	if err != nil {
		return service{}, errors.New("the publish URL is not one that can be put into OBS")
	}
	shown := a.Scheme + "://" + a.Host[strings.LastIndexByte(a.Host, '@')+1:]
	values := map[string]string{"server": a.Server(), "key": a.Key()}
	switch {
	case s.SetService == setKey && a.Key() == "":
		return service{}, errors.New("set_service: key puts a stream key into OBS, and the publish URL has none: publish " +
			"over RTMPS or SRT, or write set_service: true")
	case s.SetService == setKey:
		return newService("", "the stream's key", map[string]string{"key": a.Key()}), nil
	case a.WHIP(): // the token goes into the Authorization header
		path, _, _ := strings.Cut(afterHost(a.Server()), "?")
		return newService(serviceWHIP, shown+path, map[string]string{"server": a.Server(), "bearer_token": a.Token}), nil
	case a.RTMP():
		return newService(serviceCustom, shown+afterHost(a.Server()), values), nil
	case a.Scheme == "srt": // the stream id is the key: in the URL, OBS 29 would not decode it
		return newService(serviceCustom, shown, values), nil
	default:
		return service{}, fmt.Errorf("the publish URL begins with %s:, which OBS cannot stream to; "+
			"use rtmp, rtmps, srt, or https for WHIP", a.Scheme)
	}
}

func newService(kind, shown string, secrets map[string]string) service {
	s := service{kind: kind, shown: shown, secrets: secrets, values: map[string]any{}}
	for key, value := range secrets {
		s.values[key] = value
	}
	if kind == serviceCustom {
		s.values["use_auth"] = false
	}
	return s
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

func (s service) isZero() bool { return s.values == nil }

// fits returns an error if this OBS has no such service.
func (s service) fits(v version) error {
	if s.kind == serviceWHIP && v.major() < whipSince {
		return encoders.Permanent(fmt.Errorf("obs is version %s, and WHIP needs %d or newer: update OBS, "+
			"or publish over RTMPS or SRT", v.OBS, whipSince))
	}
	return nil
}

// set puts the service into OBS, which must be stopped, and reads it back, unless OBS has it.
func (s service) set(ctx context.Context, e *Encoder, sess *session) error {
	kind, values, err := readService(ctx, e, sess)
	if s.kind == "" && err == nil { // OBS lays values over those of a service of the same type, and replaces any other
		s.kind, err = kind, takesKey(kind, values)
	}
	if err != nil {
		return fmt.Errorf("read the stream settings of obs: %w", err)
	}
	if s.isAmong(kind, values) {
		return nil
	}
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

// takesKey returns an error if the service that OBS has is none that a stream key alone can be put
// into.
func takesKey(kind string, values map[string]any) error {
	name, _ := values["service"].(string)
	server, _ := values["server"].(string)
	switch {
	case kind == serviceWHIP:
		return encoders.Permanent(errors.New("its service is WHIP, which has no stream key: choose another in OBS under " +
			"Settings → Stream, or write set_service: true"))
	case name == "" && server == "":
		return encoders.Permanent(errors.New("no service is chosen: choose one in OBS under Settings → " +
			"Stream, or write set_service: true"))
	}
	return nil
}

// isAmong reports whether OBS, with these stream settings, has all that set would put into it.
func (s service) isAmong(kind string, values map[string]any) bool {
	for key, want := range s.values {
		if got, there := values[key]; got != want && (there || want != false) {
			return false
		}
	}
	return kind == s.kind
}

// isSet reports whether OBS publishes where this service does.
func (s service) isSet(ctx context.Context, e *Encoder, sess *session) (bool, error) {
	kind, values, err := readService(ctx, e, sess)
	if err != nil || s.kind != "" && kind != s.kind {
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
