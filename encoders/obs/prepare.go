package obs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oncue/oncue/encoders"
)

// prepare selects profile, scene collection and scene, and sets the service, in that order: each
// may change those that follow. It leaves the rest once somebody else has started OBS.
func (e *Encoder) prepare(ctx context.Context, sess *session, s setup) error {
	e.mu.Lock()
	v := e.link.version
	if e.link.sess == sess {
		e.link.setup = s // also when it fails: KeepReady tries once
	}
	e.mu.Unlock()
	for _, c := range s.choices {
		if e.phase() != phaseStopped {
			return nil
		}
		if err := e.choose(ctx, sess, c); err != nil {
			return err
		}
	}
	if s.service.isZero() || e.phase() != phaseStopped {
		return nil
	}
	if err := s.service.fits(v); err != nil {
		return err
	}
	return s.service.set(ctx, e, sess)
}

// choice is one thing that is selected in OBS before a start.
type choice struct {
	what  string // for people
	name  string
	set   string // request
	field string // of the request
	list  string // request that lists all, and which of them is selected
	heavy bool   // it takes OBS a while, and OBS must not be asked anything meanwhile
}

// choices lists what the settings want selected, in order.
func (s Settings) choices(job encoders.Job) []choice {
	all := []choice{
		{"profile", job.Fill(s.Profile), "SetCurrentProfile", "profileName", "GetProfileList", true},
		{"scene collection", job.Fill(s.SceneCollection), "SetCurrentSceneCollection", "sceneCollectionName",
			"GetSceneCollectionList", true},
		{"scene", job.Fill(s.Scene), "SetCurrentProgramScene", "sceneName", "GetSceneList", false},
	}
	return slices.DeleteFunc(all, func(c choice) bool { return c.name == "" })
}

// listed is the answer to any of the list requests.
type listed struct {
	Profile     string   `json:"currentProfileName"`
	Profiles    []string `json:"profiles"`
	Collection  string   `json:"currentSceneCollectionName"`
	Collections []string `json:"sceneCollections"`
	Scene       string   `json:"currentProgramSceneName"`
	Scenes      []struct {
		Name string `json:"sceneName"`
	} `json:"scenes"`
}

func (l listed) current() string { return l.Profile + l.Collection + l.Scene }

func (l listed) all() []string {
	names := slices.Concat(l.Profiles, l.Collections)
	for _, s := range l.Scenes {
		names = append(names, s.Name)
	}
	return names
}

// choose selects one thing and returns when OBS has it.
func (e *Encoder) choose(ctx context.Context, sess *session, c choice) error {
	now, err := e.listed(ctx, sess, c)
	if err != nil {
		return fmt.Errorf("read the %s of obs: %w", c.what, err)
	}
	if now.current() == c.name {
		return nil
	}
	if !slices.Contains(now.all(), c.name) {
		return encoders.Permanent(fmt.Errorf("obs has no %s %q; it has %q", c.what, c.name, now.all()))
	}
	if err := e.change(ctx, sess, c); err != nil {
		return fmt.Errorf("change the %s of obs to %q: %w", c.what, c.name, err)
	}
	for wait := c.heavy; now.current() != c.name; wait = true { // a scene is there with the answer
		if wait {
			if err := e.pause(ctx, sess.done, time.Now().Add(e.limits.retry)); err != nil {
				return fmt.Errorf("obs does not change its %s to %q: %w", c.what, c.name, err)
			}
		}
		if now, err = e.listed(ctx, sess, c); err != nil {
			return fmt.Errorf("read the %s of obs: %w", c.what, err)
		}
	}
	return nil
}

func (e *Encoder) listed(ctx context.Context, sess *session, c choice) (listed, error) {
	var l listed
	err := e.patiently(ctx, sess, c.list, nil, &l)
	return l, err
}

// change sends the request and waits for its answer, which OBS sends after the change, as it does
// the event of its end.
func (e *Encoder) change(ctx context.Context, sess *session, c choice) error {
	if c.heavy {
		e.changing(1)
		defer e.changing(-1)
	}
	for {
		err := sess.do(ctx, e.limits.change, c.set, map[string]string{c.field: c.name}, nil)
		if !isCode(err, codeNotReady) {
			return err
		}
		if err := e.pause(ctx, sess.done, time.Now().Add(e.limits.retry)); err != nil {
			return err
		}
	}
}
