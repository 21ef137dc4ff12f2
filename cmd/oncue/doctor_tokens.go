package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	publishing "github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/controller/millicast"
)

const (
	shortestRecording = 10 * time.Second // the platform keeps no shorter one
	expiresSoon       = 7 * 24 * time.Hour
)

// examineTokens compares what the streams of an account publish with, as the configuration has it,
// with what the platform says of those tokens.
func (d *doctor) examineTokens(ctx context.Context, a *configs.Account) findings {
	api, err := platformOf(a)
	if err != nil {
		return bad(err.Error(), "")
	}
	defer api.Close()
	all, err := api.ListTokens(ctx)
	if err != nil {
		return odd(err.Error(), "")
	}
	var found findings
	fine := 0
	for _, s := range d.cfg.Streams {
		if s.Account != a.ID {
			continue
		}
		of, examined := d.examineTokensOf(s, all)
		found.add(of)
		if examined && len(of) == 0 {
			fine++
		}
	}
	if fine > 0 {
		found.add(good("what the platform says of the tokens of %s is as it should be", term.Plural(fine, "stream")))
	}
	return found
}

// examineTokensOf is examineTokens for one stream or pattern. Examined is false when none of its
// encoders is told where to publish.
func (d *doctor) examineTokensOf(s *configs.Stream, all []millicast.PublishToken) (found findings, examined bool) {
	var seen []int
	for _, encoder := range s.All() {
		to := s.PublishBy(encoder)
		if !to.Set() || !d.cfg.Told(encoder) {
			continue
		}
		examined = true
		t, ok := tokenOf(s, to, all)
		if !ok {
			found.add(unknownToken(s, encoder, to))
			continue
		}
		if !slices.Contains(seen, t.ID) {
			seen = append(seen, t.ID)
			found.add(judgeToken(s, t, time.Now()))
		}
		if e, ok := d.cfg.Encoder(encoder); ok && !t.Multisource {
			if n, _ := e.Layers(); n > 0 {
				found.add(bad(fmt.Sprintf("publishing token %d of %s allows one source, so the renditions of %s throw each "+
					"other out", t.ID, s.Name, encoder),
					"allow several sources (multisource) in its settings at the platform, or write publish: {token: auto}"))
			}
		}
	}
	return found, examined
}

// tokenOf is the token that a stream publishes with, among the account's.
func tokenOf(s *configs.Stream, to configs.Publish, all []millicast.PublishToken) (millicast.PublishToken, bool) {
	if to.Auto {
		own := daemon.OwnToken(s).Among(all)
		if len(own) == 0 {
			return millicast.PublishToken{}, false
		}
		usable := func(t millicast.PublishToken) bool { return t.Unusable(time.Now()) == "" }
		return own[max(0, slices.IndexFunc(own, usable))], true
	}
	value := publishedWith(to)
	i := slices.IndexFunc(all, func(t millicast.PublishToken) bool { return t.Value.Equal(value) })
	if i < 0 {
		return millicast.PublishToken{}, false
	}
	return all[i], true
}

// publishedWith is the token in hexadecimal. URLs of SRT have it in base64url.
func publishedWith(to configs.Publish) string {
	if to.Parts != nil {
		return to.Parts.Token.Reveal()
	}
	u, err := publishing.Parse(to.URL.Reveal())
	if err != nil {
		return ""
	}
	if _, err := hex.DecodeString(u.Token); err != nil {
		if raw, err := base64.RawURLEncoding.DecodeString(u.Token); err == nil {
			return hex.EncodeToString(raw)
		}
	}
	return u.Token
}

func unknownToken(s *configs.Stream, encoder string, to configs.Publish) findings {
	if to.Auto {
		return odd(fmt.Sprintf("%s has no publishing token yet", s.Name),
			"the daemon makes it at its start (token: auto)")
	}
	what := fmt.Sprintf("%s publishes %s with a token that account %s does not have", encoder, s.Name, s.Account)
	const hint = "copy it anew from the platform, or write publish: {token: auto}"
	u, err := publishing.Parse(to.Address(to.URL).Reveal())
	if err == nil && u.Platform() {
		return bad(what, hint)
	}
	return odd(what, hint+"; a server of your own may take it nevertheless")
}

// judgeToken says what keeps a token from being good for a stream.
func judgeToken(s *configs.Stream, t millicast.PublishToken, now time.Time) findings {
	var found findings
	token := fmt.Sprintf("publishing token %d (%s) of %s", t.ID, cmp.Or(t.Label, "no label"), s.Name)
	if why := t.Unusable(now); why != "" {
		way := "make another one at the platform, or write publish: {token: auto}"
		if t.IsOwn() {
			way = "oncue token rotate " + s.Name
		}
		found.add(bad(token+" "+why, way))
	} else if !t.Expires.IsZero() && t.Expires.Sub(now) < expiresSoon {
		found.add(odd(token+" expires at "+t.Expires.UTC().Format(time.RFC3339), "make another one in time"))
	}
	name := exampleJob(s, s.Encoders[0]).Name
	if !t.MayPublish(name) {
		var names []string
		for _, n := range t.Streams {
			names = append(names, n.Name)
		}
		found.add(bad(fmt.Sprintf("%s may not publish %s, but %s", token, name, strings.Join(names, ", ")),
			"add the stream to the token, or write publish: {token: auto}"))
	}
	switch {
	case len(t.AllowedIPs) > 0:
		found.add(odd(token+" is for the addresses "+strings.Join(t.AllowedIPs, ", ")+" only",
			"is the address of each encoder, as the platform sees it, among them?"))
	case t.BindIPs != nil && *t.BindIPs > 0:
		found.add(odd(fmt.Sprintf("%s is bound to the first addresses that use it, at most %d", token, *t.BindIPs),
			"an encoder whose address changes is refused: end this at the platform"))
	}
	if !t.Thumbnails {
		found.add(odd(token+" sends no thumbnails, so the dashboard has no pictures", "switch them on at the platform"))
	}
	if said := s.Origin("viewers_elsewhere").Line > 0; !said && (t.Restreams() || t.Record) {
		does := "re-streams"
		if !t.Restreams() {
			does = "records"
		}
		found.add(odd(fmt.Sprintf("%s %s, and that ends when nobody watches here", token, does),
			"set viewers_elsewhere of the stream: keep, or ignore if that is meant"))
	}
	if t.Record && s.Timing.MinUptime < shortestRecording {
		found.add(odd(fmt.Sprintf("%s records, and the platform keeps no recording below %s", token, shortestRecording),
			"set min_uptime of the stream to 10s or more"))
	}
	return found
}
