package obs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/oncue/oncue/encoders"
)

// Check connects for itself and asks OBS about everything that a start relies on. It changes nothing.
func (e *Encoder) Check(ctx context.Context, job encoders.Job) []encoders.Finding {
	t := e.targetFor(job)
	if err := checkAddress(t.address); err != nil {
		return []encoders.Finding{{Level: encoders.Bad, What: err.Error()}}
	}
	sess, err := dial(ctx, t, e.limits.dial, func(event) {})
	if err != nil {
		return []encoders.Finding{badLink(err)}
	}
	defer sess.close()
	var v version
	if err := e.patiently(ctx, sess, "GetVersion", nil, &v); err != nil {
		return []encoders.Finding{badLink(err)}
	}
	found := []encoders.Finding{{Level: encoders.OK, What: fmt.Sprintf("obs at %s answers (OBS %s, obs-websocket %s)", t.address, v.OBS, v.WebSocket)}}
	if sess.open {
		found = append(found, encoders.Finding{Level: encoders.Warn, What: "obs asks for no password: whoever reaches it can control it",
			Hint: "in OBS: Tools → WebSocket Server Settings → Enable Authentication, and set password"})
	}
	found = append(found, e.checkChoices(ctx, sess, job)...)
	if e.settings.SetService {
		return append(found, e.checkWanted(job, v))
	}
	return append(found, e.checkOwn(ctx, sess))
}

func badLink(err error) encoders.Finding {
	f := encoders.Finding{Level: encoders.Bad, What: err.Error()}
	var l *linkError
	if errors.As(err, &l) {
		f.Hint = l.hint
	}
	return f
}

// checkChoices looks whether OBS has what is to be selected. Scenes of a collection that is not the present one cannot be seen.
func (e *Encoder) checkChoices(ctx context.Context, sess *session, job encoders.Job) []encoders.Finding {
	var found []encoders.Finding
	hidden := false
	for _, c := range e.settings.choices(job) {
		l, err := e.listed(ctx, sess, c)
		switch {
		case err != nil:
			found = append(found, encoders.Finding{Level: encoders.Bad, What: fmt.Sprintf("obs does not tell its %ss: %v", c.what, err)})
		case c.list == "GetSceneList" && hidden:
			found = append(found, encoders.Finding{Level: encoders.Warn, What: fmt.Sprintf("scene %q cannot be looked for: its scene collection is not the one in use", c.name)})
		case !slices.Contains(l.all(), c.name):
			found = append(found, encoders.Finding{Level: encoders.Bad, What: fmt.Sprintf("obs has no %s %q", c.what, c.name), Hint: fmt.Sprintf("it has %q", l.all())})
		default:
			found = append(found, encoders.Finding{Level: encoders.OK, What: fmt.Sprintf("obs has the %s %q", c.what, c.name)})
		}
		hidden = hidden || c.list == "GetSceneCollectionList" && l.current() != c.name
	}
	return found
}

// checkWanted looks whether the publishing URL can be put into this OBS.
func (e *Encoder) checkWanted(job encoders.Job, v version) encoders.Finding {
	wanted, err := e.settings.service(job)
	if err == nil {
		err = wanted.fits(v)
	}
	if err != nil {
		return encoders.Finding{Level: encoders.Bad, What: err.Error()}
	}
	return encoders.Finding{Level: encoders.OK, What: "a start puts " + wanted.shown + " into obs"}
}

// checkOwn looks at the stream settings that OBS has by itself.
func (e *Encoder) checkOwn(ctx context.Context, sess *session) encoders.Finding {
	const hint = "set it in OBS under Settings → Stream, or let set_service: true do it"
	kind, values, err := readService(ctx, e, sess)
	text := func(key string) string { s, _ := values[key].(string); return s }
	switch {
	case err != nil:
		return encoders.Finding{Level: encoders.Warn, What: "obs does not tell its stream settings: " + err.Error()}
	case kind != serviceCustom && kind != serviceWHIP:
		return encoders.Finding{Level: encoders.Warn, What: fmt.Sprintf("obs streams to the service %q, not to a custom server", text("service")), Hint: hint}
	case text("server") == "":
		return encoders.Finding{Level: encoders.Bad, What: "obs has no server to stream to", Hint: hint}
	}
	u, err := url.Parse(text("server"))
	if err != nil || u.Host == "" {
		return encoders.Finding{Level: encoders.Bad, What: "the server that obs streams to is not a URL", Hint: hint}
	}
	if (u.Scheme == "rtmp" || u.Scheme == "rtmps") && text("key") == "" {
		return encoders.Finding{Level: encoders.Warn, What: "obs has no stream key for " + u.Scheme + "://" + u.Host, Hint: hint}
	}
	return encoders.Finding{Level: encoders.OK, What: "obs streams to " + u.Scheme + "://" + u.Host + " by its own settings"}
}
