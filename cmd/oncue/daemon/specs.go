package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"regexp"
	"strconv"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
)

// This file translates a configuration into the controller's words.

// streamSpecs lists the streams that are named without a pattern.
func streamSpecs(p *plan) []runner.StreamSpec {
	specs := make([]runner.StreamSpec, 0, len(p.Streams))
	for _, s := range p.Streams {
		if !s.IsPattern {
			specs = append(specs, streamSpec(p, s, s.Name, nil))
		}
	}
	for _, h := range p.Helpers {
		specs = append(specs, helperSpec(p, h))
	}
	return specs
}

// helperSpec is a helper in the words of a stream. It is tried again by whoever needs it, so it
// does not give up by itself, and its waits are the shortest.
func helperSpec(p *plan, h *configs.Encoder) runner.StreamSpec {
	spec := runner.StreamSpec{Account: controller.HelperAccount, Name: h.Name}
	spec.Policy = policyOf(configs.Default().Defaults)
	policy := &spec.Policy
	policy.Stream, policy.Helper, policy.Confirm = spec.ID(), true, machine.ConfirmSwitch
	policy.StartTimeout, policy.IdleTimeout, policy.Keeps = h.ReadyTimeout, h.Linger, p.Before(h.Name)
	policy.Encoders = []machine.EncoderSpec{{
		Name: h.Name, Instance: machine.Instance{Driver: h.Driver, Device: h.Name},
		Version: strconv.Itoa(p.version[h.Name]), Watched: drivers[h.Driver].byHand || keepsReady(h.Settings),
	}}
	return spec
}

// needsOf are the helpers of an encoder. One that is being stopped is ready as much later.
func needsOf(p *plan, e *configs.Encoder) (needs []machine.Need) {
	for _, name := range e.Needs {
		if h, ok := p.Encoder(name); ok {
			needs = append(needs, machine.Need{Helper: name, Within: h.ReadyTimeout + configs.Default().Defaults.StopTimeout})
		}
	}
	return needs
}

// findStream is the controller's Find.
func findStream(p *plan) func(account, name string) (runner.StreamSpec, bool) {
	return func(account, name string) (runner.StreamSpec, bool) {
		s, matches, ok := p.Lookup(account, name)
		if !ok {
			return runner.StreamSpec{}, false
		}
		return streamSpec(p, s, name, matches), true
	}
}

func streamSpec(p *plan, s *configs.Stream, name string, matches []string) runner.StreamSpec {
	spec := runner.StreamSpec{
		Account: s.Account, Name: name, Policy: policyOf(s.Timing),
		Publish: func(encoder string) secret.Value {
			to := s.PublishBy(encoder)
			if !to.Auto {
				return to.Address(secret.Value{})
			}
			token := p.tokens.value(s.ID)
			if !token.Set() {
				return secret.Value{}
			}
			return to.Address(token)
		},
	}
	policy := &spec.Policy
	policy.Stream, policy.Schedule = spec.ID(), p.schedules[s]
	if s.IsPattern {
		policy.Pattern, policy.Matches = s.ID, matches
	}
	if a := p.Accounts[s.Account]; a != nil {
		policy.CanAsk, policy.ForceStop = a.APISecret.Set(), a.ForceStop
	}
	for place, ref := range s.All() {
		e, ok := p.Encoder(ref)
		if !ok {
			continue // the loader has refused such a file
		}
		device, cover := e.Name, ref == s.Cover
		if box, ok := e.Settings.(configs.Box); s.IsPattern || cover && (!ok || box.Address() == "") {
			device += "@" + s.Account + "/" + name // one slate for many streams, each with a process of its own
		}
		es := machine.EncoderSpec{
			Name: e.Name, Instance: machine.Instance{Driver: e.Driver, Device: device},
			Version: strconv.Itoa(p.version[e.Name]),
			Watched: drivers[e.Driver].byHand || keepsReady(e.Settings), Publishes: contribution(s, place, e),
			Cost: e.Cost,
		}
		if needs := needsOf(p, e); needs != nil {
			if policy.Needs == nil {
				policy.Needs = map[string][]machine.Need{}
			}
			policy.Needs[e.Name] = needs
		}
		if cover {
			policy.Cover = &es
		} else {
			policy.Encoders = append(policy.Encoders, es)
		}
	}
	if p.Fights(s) {
		policy.Several = machine.Failover
	}
	return spec
}

// keepsReady reports whether an encoder with the settings keeps something ready while it is idle.
func keepsReady(settings any) bool {
	r, ok := settings.(interface{ KeepsReady() bool })
	return ok && r.KeepsReady()
}

func limitsOf(p *plan) runner.Limits {
	return runner.Limits{Running: p.Limits.Running, Cost: p.Limits.Cost}
}

func policyOf(t configs.Timing) machine.Policy {
	return machine.Policy{
		Rank: t.Rank, AttemptHold: t.AttemptHold, StartTimeout: t.StartTimeout, JoinTimeout: t.JoinTimeout,
		IdleTimeout: t.IdleTimeout, StopTimeout: t.StopTimeout,
		MinUptime: t.MinUptime, MaxUptime: t.MaxUptime, Cooldown: t.Cooldown,
		Confirm: machine.Confirm(t.Confirm), Unmanaged: machine.Unmanaged(t.Unmanaged),
		KeepElsewhere: t.ViewersElsewhere == "keep",
		Several:       machine.Several(t.Mode),
		FailoverAfter: t.FailoverAfter, MaxStartsPerHour: t.MaxStartsPerHour, MaxInstances: t.MaxInstances,
		Restart: machine.Restart(t.Restart),
	}
}

// contribution identifies the platform's feeds of the encoder in a place of the stream's list. It
// is nil when the encoder's own settings say where it publishes.
func contribution(s *configs.Stream, place int, e *configs.Encoder) *machine.Contribution {
	p := s.PublishOf(place)
	if told, ok := e.Settings.(configs.Publisher); !p.Set() || ok && !told.NeedsPublish() {
		return nil
	}
	source, priority := "", (*int)(nil)
	if p.Parts != nil {
		source, priority = p.Parts.Source, p.Parts.Priority
	} else {
		a, err := ingest.Parse(p.URL.Reveal())
		if err != nil {
			return nil
		}
		source, priority = a.Source, a.Priority
	}
	n, _ := e.Layers()
	sources := ingest.LayerSources(source, n)
	return &machine.Contribution{Source: sources[0], More: sources[1:], Priority: priority}
}

// plan is a configuration in force.
type plan struct {
	*configs.Config
	version   map[string]int // of each encoder's settings; settings that differ never share one
	last      int            // the highest version so far
	schedules map[*configs.Stream]*machine.Schedule
	tokens    *tokenKeeper
	auto      map[string][]*configs.Stream // by account: those whose tokens the keeper has
}

func newPlan(cfg *configs.Config, before *plan, tokens *tokenKeeper) (*plan, error) {
	p := &plan{
		Config: cfg, version: make(map[string]int, len(cfg.Boxes())), last: 1,
		schedules: map[*configs.Stream]*machine.Schedule{}, tokens: tokens, auto: map[string][]*configs.Stream{},
	}
	if before != nil {
		p.last = before.last + 1
	}
	for _, e := range cfg.Boxes() {
		p.version[e.Name] = p.last
		if before == nil {
			continue
		}
		was, ok := before.Encoder(e.Name)
		if ok && was.Driver == e.Driver && reflect.DeepEqual(was.Settings, e.Settings) {
			p.version[e.Name] = before.version[e.Name]
		}
	}
	for _, s := range cfg.Streams {
		if s.AutoToken() {
			p.auto[s.Account] = append(p.auto[s.Account], s)
			if err := tokens.load(context.Background(), s.ID); err != nil {
				return nil, err
			}
		}
		var lines []machine.ScheduleLine
		for _, w := range s.Timing.Schedule {
			lines = append(lines, machine.ScheduleLine{Cron: w.Cron, For: w.For, Do: controller.Mode(w.Do)})
		}
		schedule, err := machine.NewSchedule(lines, s.Timing.Location())
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", s.ID, err)
		}
		if schedule != nil {
			p.schedules[s] = schedule
		}
	}
	return p, nil
}

var plainName = regexp.MustCompile(`^[a-z0-9_-]{0,64}$`)

// DeviceDir is the name of the folder with an encoder's files. A device whose name is no plain word
// gets a hash, so that no name leads out of the data directory.
func DeviceDir(device string) string {
	if plainName.MatchString(device) {
		return device
	}
	sum := sha256.Sum256([]byte(device))
	return fmt.Sprintf("x-%s", hex.EncodeToString(sum[:12]))
}
