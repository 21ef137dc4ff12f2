package obs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/oncue/oncue/encoders"
)

// Check makes a connection of its own and asks OBS about everything that a start relies on. It
// changes nothing.
func (e *Encoder) Check(ctx context.Context, job encoders.Job) []encoders.Finding {
	t := e.targetFor(job)
	if err := checkAddress(t.address); err != nil {
		return []encoders.Finding{bad(err.Error())}
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
	found := []encoders.Finding{
		good("obs at %s answers (OBS %s, obs-websocket %s)", t.address, v.OBS, v.WebSocket),
	}
	if sess.unprotected {
		found = append(found, odd("in OBS: Tools → WebSocket Server Settings → Enable Authentication, and set password",
			"obs asks for no password: everyone who reaches it can control it"))
	}
	found = append(found, e.checkChoices(ctx, sess, job)...)
	if e.settings.NeedsPublish() {
		return append(found, e.checkWanted(ctx, sess, job, v))
	}
	return append(found, e.checkOwn(ctx, sess))
}

func good(format string, args ...any) encoders.Finding {
	return encoders.Finding{Level: encoders.OK, What: fmt.Sprintf(format, args...)}
}

func odd(hint, format string, args ...any) encoders.Finding {
	return encoders.Finding{Level: encoders.Warn, What: fmt.Sprintf(format, args...), Hint: hint}
}

func bad(what string) encoders.Finding { return encoders.Finding{Level: encoders.Bad, What: what} }

func badLink(err error) encoders.Finding {
	f := bad(err.Error())
	var l *linkError
	if errors.As(err, &l) {
		f.Hint = l.hint
	}
	return f
}

// checkChoices checks that OBS has what is to be selected. Scenes of a collection that is not in
// use cannot be listed.
func (e *Encoder) checkChoices(ctx context.Context, sess *session, job encoders.Job) []encoders.Finding {
	var found []encoders.Finding
	hidden := false
	for _, c := range e.settings.choices(job) {
		l, err := e.listed(ctx, sess, c)
		switch {
		case err != nil:
			found = append(found, bad(fmt.Sprintf("obs does not list its %ss: %v", c.what, err)))
		case c.list == "GetSceneList" && hidden:
			found = append(found, odd("",
				"scene %q cannot be checked: its scene collection is not the one in use", c.name))
		case !slices.Contains(l.all(), c.name):
			missing := bad(fmt.Sprintf("obs has no %s %q", c.what, c.name))
			missing.Hint = fmt.Sprintf("it has %q", l.all())
			found = append(found, missing)
		default:
			found = append(found, good("obs has the %s %q", c.what, c.name))
		}
		hidden = hidden || c.list == "GetSceneCollectionList" && l.current() != c.name
	}
	return found
}

// checkWanted checks that the publishing URL, or its key, can be put into this OBS.
func (e *Encoder) checkWanted(ctx context.Context, sess *session, job encoders.Job, v version) encoders.Finding {
	wanted, err := e.settings.service(job)
	if err == nil {
		err = wanted.fits(v)
	}
	if err != nil {
		return bad(err.Error())
	}
	if wanted.kind != "" {
		return good("a start puts %s into obs", wanted.shown)
	}
	kind, values, err := readService(ctx, e, sess)
	if err != nil {
		return odd("", "obs does not give its stream settings: %v", err)
	}
	if err := takesKey(kind, values); err != nil {
		return bad("obs takes no key: " + err.Error())
	}
	name, _ := values["service"].(string)
	return good("a start puts the key into obs, whose service stays: %s", cmp.Or(name, "a custom server"))
}

// checkOwn checks OBS's own stream settings.
func (e *Encoder) checkOwn(ctx context.Context, sess *session) encoders.Finding {
	const hint = "set it in OBS under Settings → Stream, or let set_service: true do it"
	kind, values, err := readService(ctx, e, sess)
	text := func(key string) string { s, _ := values[key].(string); return s }
	switch {
	case err != nil:
		return odd("", "obs does not give its stream settings: %v", err)
	case kind != serviceCustom && kind != serviceWHIP:
		return odd(hint, "obs streams to the service %q, not to a custom server", text("service"))
	case text("server") == "":
		return encoders.Finding{Level: encoders.Bad, What: "obs has no server to stream to", Hint: hint}
	}
	u, err := url.Parse(text("server"))
	if err != nil || u.Host == "" {
		return encoders.Finding{Level: encoders.Bad, What: "the server that obs streams to is not a URL", Hint: hint}
	}
	if (u.Scheme == "rtmp" || u.Scheme == "rtmps") && text("key") == "" {
		return odd(hint, "obs has no stream key for %s://%s", u.Scheme, u.Host)
	}
	return good("obs streams to %s://%s by its own settings", u.Scheme, u.Host)
}
