package machine

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

var update = flag.Bool("update", false, "write the outcomes of testdata/*.txt anew")

// TestStories plays the transcripts of testdata. In each file, a line that begins with a letter or
// a plus is a command, and the indented lines below it are what came of it: a phase with its reason
// and deadline, what is done, and history. The commands:
//
//	policy KEY=VALUE …          durations by their configuration keys; several=failover ask …
//	                            encoders=a,b, or with priorities a@100,b@99, or a@? (not known),
//	                            or with the sources of several qualities a@100:1/2/3; cover=b@98;
//	                            needs=a,b of all encoders; helper=NAME: this is one, and starts
//	                            after keeps=a,b
//	+DURATION                   time passes; deadlines ring
//	attempt | first | noviewers | started FEED | ended FEED   [sent=-5s] [source=S] [priority=N]
//	box NAME KEY=VALUE …        how an encoder behaves: start=200ms|hang|busy|fail:TEXT,
//	                            stop=100ms|hang|fail:TEXT, permanent, silent (never says that it
//	                            publishes), gone (is off, and nobody has told)
//	enc NAME STATE [byhand] [permanent] [configonly] [error:TEXT]   the encoder is seen so
//	api live VIEWERS | off | down | refused     what the platform's API answers from now on
//	poll live VIEWERS | off     the regular poll brings this
//	on | off | auto [for=2h] [by=NAME] [why=TEXT]
//	lease NAME DURATION         NAME asks for the stream that long; 0s: no longer
//	waits                       tells how long it took until start, live and first viewer; -1ns: it
//	                            has not come
//	helper NAME ready | down | failed TEXT      a helper that the stream needs tells this
//	needed [BY#NUMBER …] [kept=BY]              of a helper: who needs it from now on
//	window on|off|auto [for=DURATION]
//	claims deny=HOLDER | free | contended=STREAM | outranked=STREAM
//	crash [for=DURATION]        the controller is killed and comes back, after a while
//	lose                        the next crash is before it did what it had just saved
//	clock BY                    somebody sets the host's clock
//	reload KEY=VALUE … | token | drain
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories in testdata", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(text), got); diff != "" && !*update {
				t.Errorf("the story goes otherwise (-told +played):\n%s", diff)
			}
		})
	}
}

// stage plays one stream with boxes that answer by themselves.
type stage struct {
	t     *testing.T
	out   strings.Builder
	begin time.Time
	now   time.Time
	off   time.Duration // what "clock" has added
	p     Policy
	s     State
	boxes map[string]*prop
	queue []cue // ordered by time
	deny  string
	api   func() Event
	shown string
	lost  bool
}

type cue struct {
	at time.Time
	ev Event
}

type prop struct {
	start, stop string
	permanent   bool
	silent      bool
	configOnly  bool
	state       encoders.State
	run         string
}

func play(t *testing.T, script string) string {
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	st := &stage{t: t, begin: begin, now: begin, boxes: map[string]*prop{}, p: Policy{
		AttemptHold: 45 * time.Second, StartTimeout: 30 * time.Second, JoinTimeout: 90 * time.Second,
		IdleTimeout: time.Minute, StopTimeout: 10 * time.Second,
		Confirm: ConfirmFeed, Unmanaged: Observe, Several: AllEncoders, FailoverAfter: 3,
		Restart:  Restart{Initial: time.Second, Max: time.Minute, Factor: 2, ResetAfter: time.Minute},
		Encoders: []EncoderSpec{{Name: "cam"}},
	}}
	st.api = func() Event { return AskFailed{Text: "no answer"} }
	lines := bufio.NewScanner(strings.NewReader(script))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "    "):
			continue
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&st.out, line)
		default:
			fmt.Fprintln(&st.out, line)
			st.command(strings.Fields(line))
		}
	}
	return st.out.String()
}

func (st *stage) say(format string, args ...any) { fmt.Fprintf(&st.out, "    "+format+"\n", args...) }

func (st *stage) command(words []string) {
	word, args := words[0], words[1:]
	opt := func(key string) string {
		for i, a := range args {
			if v, ok := strings.CutPrefix(a, key); ok {
				if key == "why=" || key == "error:" {
					v = strings.Join(append([]string{v}, args[i+1:]...), " ")
				}
				return v
			}
		}
		return ""
	}
	if d, ok := strings.CutPrefix(word, "+"); ok {
		st.wait(st.duration(d))
		return
	}
	switch word {
	case "policy", "reload":
		for _, a := range args {
			st.policy(a)
		}
		if word == "reload" {
			st.decide(Reloaded{})
		}
	case "box":
		st.box(args[0], args[1:])
	case "attempt", "first", "noviewers", "started", "ended":
		st.decide(st.hook(word, args, opt))
	case "enc":
		b := st.prop(args[0])
		b.state = encoders.State(args[1])
		has := func(word string) bool { return slices.Contains(args, word) }
		status := encoders.Status{
			State: b.state, ByHand: has("byhand"), Permanent: has("permanent"), ConfigOnly: has("configonly"),
			Error: opt("error:"),
		}
		st.decide(EncoderSeen{Encoder: args[0], Status: status})
	case "api":
		say := slices.Clone(args)
		st.api = func() Event { return st.answer(say) }
	case "poll":
		st.decide(st.answer(args))
	case "on", "off", "auto":
		ev := ModeSet{Mode: controller.Mode(word), By: opt("by="), Why: opt("why=")}
		if d := opt("for="); d != "" {
			ev.Until = st.now.Add(st.duration(d))
		}
		st.decide(ev)
	case "lease":
		ev := Leased{By: args[0]}
		if d := st.duration(args[1]); d > 0 {
			ev.Until = st.now.Add(d)
		}
		st.decide(ev)
	case "helper":
		ev := HelperSeen{Helper: args[0], Ready: args[1] == "ready"}
		if args[1] == "failed" {
			ev.Error = strings.Join(args[2:], " ")
		}
		st.decide(ev)
	case "needed":
		st.decide(neededWords(st.t, args))
	case "waits":
		typical, of := st.s.Waits.Typical()
		st.say("last %v, typically %v of %d", st.s.Waits.Last(), typical, of)
	case "window":
		st.window(controller.Mode(args[0]), opt("for="))
	case "claims":
		st.claims(args[0])
	case "crash":
		if d := opt("for="); d != "" {
			st.now = st.now.Add(st.duration(d))
		}
		st.crash()
	case "lose":
		st.lost = true
	case "clock":
		by := st.duration(args[0])
		st.s.Shift(by)
		st.now, st.begin, st.off = st.now.Add(by), st.begin.Add(by), st.off+by
		for i := range st.queue {
			st.queue[i].at = st.queue[i].at.Add(by)
		}
		st.decide(Timer{})
	case "token":
		st.decide(TokenChanged{})
	case "drain":
		st.decide(Drained{})
	default:
		st.t.Fatalf("no command %q", word)
	}
}

func (st *stage) hook(word string, args []string, opt func(string) string) controller.Hook {
	kinds := map[string]controller.HookKind{
		"attempt": controller.HookAttempt, "first": controller.HookFirstViewer, "noviewers": controller.HookNoViewers,
		"started": controller.HookFeedStarted, "ended": controller.HookFeedEnded,
	}
	at := controller.ByPlatform(st.now)
	h := controller.Hook{Kind: kinds[word], Account: "ACC", Name: "show", At: at, Received: st.now}
	if d := opt("sent="); d != "" {
		h.At = controller.ByPlatform(st.now.Add(st.duration(d)))
	}
	if word == "started" || word == "ended" {
		h.Feed = controller.Feed{ID: args[0], SourceID: opt("source=")}
		if p := opt("priority="); p != "" {
			n, err := strconv.Atoi(p)
			if err != nil {
				st.t.Fatal(err)
			}
			h.Feed.Priority = &n
		}
		if word == "started" {
			h.Feed.Started = h.At
		}
	}
	return h
}

func (st *stage) answer(say []string) Event {
	switch say[0] {
	case "live":
		n, err := strconv.Atoi(say[1])
		if err != nil {
			st.t.Fatal(err)
		}
		return Polled{Asked: st.now, Live: true, Viewers: n}
	case "off":
		return Polled{Asked: st.now}
	case "refused":
		return AskFailed{Asked: st.now, Refused: true, Text: "wrong API secret"}
	default:
		return AskFailed{Asked: st.now, Text: "no answer"}
	}
}

func (st *stage) policy(a string) {
	key, value, _ := strings.Cut(a, "=")
	durations := map[string]*time.Duration{
		"attempt_hold": &st.p.AttemptHold, "start_timeout": &st.p.StartTimeout, "join_timeout": &st.p.JoinTimeout,
		"idle_timeout": &st.p.IdleTimeout, "stop_timeout": &st.p.StopTimeout, "min_uptime": &st.p.MinUptime,
		"max_uptime": &st.p.MaxUptime, "cooldown": &st.p.Cooldown, "reset_after": &st.p.Restart.ResetAfter,
	}
	numbers := map[string]*int{
		"give_up_after": &st.p.Restart.GiveUpAfter, "failover_after": &st.p.FailoverAfter,
		"max_starts_per_hour": &st.p.MaxStartsPerHour,
	}
	switch {
	case durations[key] != nil:
		*durations[key] = st.duration(value)
	case numbers[key] != nil:
		n, err := strconv.Atoi(value)
		if err != nil {
			st.t.Fatal(err)
		}
		*numbers[key] = n
	case key == "encoders":
		st.p.Encoders = nil
		for _, one := range strings.Split(value, ",") {
			st.p.Encoders = append(st.p.Encoders, encoderSpec(one))
		}
	case key == "cover":
		if st.p.Cover = nil; value != "" {
			spec := encoderSpec(value)
			st.p.Cover = &spec
		}
	case key == "needs", key == "keeps":
		if st.p.Keeps = nil; key == "keeps" {
			st.p.Keeps = strings.Split(value, ",")
			break
		}
		st.p.Needs = map[string][]Need{}
		for e := range st.p.All() {
			for _, h := range strings.Split(value, ",") {
				st.p.Needs[e.Name] = append(st.p.Needs[e.Name], Need{h, 20 * time.Second})
			}
		}
	case key == "helper":
		st.p.Helper, st.p.Confirm = true, ConfirmSwitch
		st.p.Encoders = []EncoderSpec{{Name: value}}
	case key == "several":
		st.p.Several = Several(value)
	case key == "confirm":
		st.p.Confirm = Confirm(value)
	case key == "unmanaged":
		st.p.Unmanaged = Unmanaged(value)
	case key == "viewers_elsewhere":
		st.p.KeepElsewhere = value == "keep"
	case key == "source":
		for i := range st.p.Encoders {
			st.p.Encoders[i].Publishes = &Contribution{Source: value}
		}
	case key == "ask":
		st.p.CanAsk = true
	case key == "force_stop":
		st.p.ForceStop = true
	default:
		st.t.Fatalf("no policy %q", key)
	}
}

// neededWords reads the words behind needed.
func neededWords(t *testing.T, words []string) (ev Needed) {
	for _, w := range words {
		if by, ok := strings.CutPrefix(w, "kept="); ok {
			ev.Kept = append(ev.Kept, controller.StreamID(by))
			continue
		}
		by, number, _ := strings.Cut(w, "#")
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ev.By = append(ev.By, Needer{controller.StreamID(by), n})
	}
	return ev
}

// encoderSpec reads one of encoders=.
func encoderSpec(text string) EncoderSpec {
	name, sources, _ := strings.Cut(text, ":")
	name, priority, has := strings.Cut(name, "@")
	publishes := &Contribution{}
	if all := strings.Split(sources, "/"); sources != "" {
		publishes.Source, publishes.More = all[0], all[1:]
	}
	if n, err := strconv.Atoi(priority); err == nil {
		publishes.Priority = &n
	} else if has {
		publishes = nil // it is not known
	}
	return EncoderSpec{Name: name, Publishes: publishes}
}

func (st *stage) prop(name string) *prop {
	if st.boxes[name] == nil {
		st.boxes[name] = &prop{start: "200ms", stop: "100ms", state: encoders.StateStopped}
	}
	return st.boxes[name]
}

func (st *stage) box(name string, args []string) {
	b := st.prop(name)
	b.permanent = b.permanent || slices.Contains(args, "permanent")
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "permanent" })
	rest := strings.Join(args, " ")
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "start="); ok {
			b.start = v
			if strings.HasPrefix(v, "fail:") {
				_, b.start, _ = strings.Cut(rest, "start=")
				break
			}
		} else if v, ok := strings.CutPrefix(a, "stop="); ok {
			b.stop = v
			if strings.HasPrefix(v, "fail:") {
				_, b.stop, _ = strings.Cut(rest, "stop=")
				break
			}
		} else if a == "silent" {
			b.silent = true
		} else if a == "talks" {
			b.silent = false
		} else if a == "configonly" {
			b.configOnly = true
		} else if a == "gone" {
			b.state = encoders.StateStopped
		}
	}
}

// window has a schedule whose only window has just begun; auto is none.
func (st *stage) window(do controller.Mode, lasts string) {
	st.p.Schedule = nil
	if do != controller.ModeAuto {
		w := window{once(st.now), 1000 * time.Hour}
		if lasts != "" {
			w.lasts = st.duration(lasts)
		}
		st.p.Schedule = &Schedule{zone: time.UTC}
		if do == controller.ModeOn {
			st.p.Schedule.on = []window{w}
		} else {
			st.p.Schedule.off = []window{w}
		}
	}
	st.decide(Timer{})
}

// once is a cron line that comes only once.
type once time.Time

func (o once) Next(t time.Time) time.Time {
	if at := time.Time(o); at.After(t) {
		return at
	}
	return time.Time{}
}

func (st *stage) claims(word string) {
	if h, ok := strings.CutPrefix(word, "deny="); ok {
		st.deny = h
	} else if by, ok := strings.CutPrefix(word, "contended="); ok {
		st.decide(Contended{By: by})
	} else if by, ok := strings.CutPrefix(word, "outranked="); ok {
		st.decide(Contended{By: by, Outranked: true})
	} else {
		st.deny = ""
		st.decide(Freed{})
	}
}

// crash throws away all that is not stored, and looks at the boxes again.
func (st *stage) crash() {
	needed := st.s.Needed
	data, err := json.Marshal(st.s)
	if err != nil {
		st.t.Fatal(err)
	}
	st.s = State{}
	if err := json.Unmarshal(data, &st.s); err != nil {
		st.t.Fatal(err)
	}
	st.queue = nil
	if st.p.Helper {
		st.decide(needed)
	}
	st.decide(Booted{})
	for ref := range st.p.All() {
		if e := st.s.Encoder(ref.Name); e != nil && (e.On() || st.prop(ref.Name).state != encoders.StateStopped) {
			b := st.prop(ref.Name)
			st.decide(EncoderSeen{Encoder: ref.Name, Status: encoders.Status{State: b.state, Run: b.run}})
		}
	}
}

func (st *stage) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		st.t.Fatal(err)
	}
	return d
}

func (st *stage) later(d time.Duration, ev Event) {
	st.queue = append(st.queue, cue{st.now.Add(d), ev})
	slices.SortStableFunc(st.queue, func(a, b cue) int { return a.at.Compare(b.at) })
}

// wait lets time pass, with what happens meanwhile.
func (st *stage) wait(d time.Duration) {
	end := st.now.Add(d)
	for range 10000 {
		at, ev := end, Event(nil)
		if len(st.queue) > 0 && !st.queue[0].at.After(at) {
			at, ev = st.queue[0].at, st.queue[0].ev
		}
		if dl := st.s.Deadline; !dl.IsZero() && (dl.Before(at) || ev == nil && !dl.After(at)) {
			at, ev = later(dl, st.now), Timer{}
		} else if ev != nil {
			st.queue = st.queue[1:]
		}
		if ev == nil {
			st.now = end
			return
		}
		st.now = later(at, st.now)
		if seen, ok := ev.(EncoderSeen); ok {
			st.prop(seen.Encoder).state = seen.Status.State
		}
		st.decide(ev)
	}
	st.t.Fatal("time does not pass: the machine rings for ever")
}

func (st *stage) decide(ev Event) {
	next, acts := Decide(st.s, ev, &st.p, st.now, 0.5)
	st.s = next
	for _, a := range acts {
		st.act(a, ev)
	}
	s := &st.s
	line := fmt.Sprintf("%s: %s", s.Phase, s.Reason)
	if !s.Managed {
		line += " (not ours)"
	}
	if !s.Deadline.IsZero() {
		line += fmt.Sprintf(" [%s at %s]", s.Does, st.clock(s.Deadline))
	}
	if line != st.shown {
		st.say("%s  %s", st.clock(st.now), line)
		st.shown = line
	}
	if s.Deadline.Before(st.now) && !s.Deadline.IsZero() {
		st.t.Errorf("the deadline %s is in the past at %s", st.clock(s.Deadline), st.clock(st.now))
	}
}

func (st *stage) clock(t time.Time) string { return t.Sub(st.begin).String() }

func (st *stage) act(a Action, ev Event) {
	switch a := a.(type) {
	case Claim:
		if st.deny != "" {
			st.decide(Claimed{Encoder: a.Encoder, Holder: st.deny, For: ev.Label()})
		} else {
			st.decide(Claimed{Encoder: a.Encoder, OK: true, For: ev.Label()})
		}
	case StartEncoder:
		if a.Adopt && st.prop(a.Encoder).state == encoders.StatePublishing {
			st.say("%s  adopt %s", st.clock(st.now), a.Encoder)
			st.later(50*time.Millisecond, StartDone{Encoder: a.Encoder, Run: a.Run})
			return
		}
		st.say("%s  start %s", st.clock(st.now), a.Encoder)
		st.start(a)
	case StopEncoder:
		st.say("%s  stop %s", st.clock(st.now), a.Encoder)
		st.stop(a)
	case Ask:
		st.say("%s  ask the platform", st.clock(st.now))
		st.later(100*time.Millisecond, nil)
		st.queue[len(st.queue)-1].ev = st.api()
	case Disconnect:
		st.say("%s  disconnect at the platform", st.clock(st.now))
	case Notify:
		st.say("%s  notify %s: %s", st.clock(st.now), a.Kind, a.Text)
	case Tell:
		if a.From == a.To {
			st.say("%s  (%s)", st.clock(st.now), a.Reason)
		}
	}
}

func (st *stage) start(a StartEncoder) {
	if st.lost {
		st.lost = false
		return
	}
	b := st.prop(a.Encoder)
	if b.start == "hang" {
		b.run = a.Run
		return
	}
	if b.start == "busy" {
		st.later(50*time.Millisecond, StartDone{
			Encoder: a.Encoder, Run: a.Run, Err: "it is on already, and not for this stream", Busy: true,
		})
		return
	}
	if why, ok := strings.CutPrefix(b.start, "fail:"); ok {
		st.later(50*time.Millisecond, StartDone{Encoder: a.Encoder, Run: a.Run, Err: why, Permanent: b.permanent})
		return
	}
	if b.state == encoders.StatePublishing {
		st.t.Errorf("%s is started while it publishes", a.Encoder)
	}
	b.run, b.state = a.Run, encoders.StateStarting
	st.later(50*time.Millisecond, StartDone{Encoder: a.Encoder, Run: a.Run})
	if !b.silent {
		st.later(st.duration(b.start), EncoderSeen{Encoder: a.Encoder, Status: encoders.Status{
			State: encoders.StatePublishing, Run: a.Run, ConfigOnly: b.configOnly,
		}})
	}
}

func (st *stage) stop(a StopEncoder) {
	if st.lost {
		st.lost = false
		return
	}
	b := st.prop(a.Encoder)
	if b.stop == "hang" {
		st.later(st.p.StopTimeout, StopDone{Encoder: a.Encoder, Run: a.Run, Err: "no answer"})
		return
	}
	if why, ok := strings.CutPrefix(b.stop, "fail:"); ok {
		st.later(50*time.Millisecond, StopDone{Encoder: a.Encoder, Run: a.Run, Err: why})
		return
	}
	st.queue = slices.DeleteFunc(st.queue, func(c cue) bool {
		seen, ok := c.ev.(EncoderSeen)
		return ok && seen.Encoder == a.Encoder
	})
	b.state = encoders.StateStopped
	st.later(st.duration(b.stop), StopDone{Encoder: a.Encoder, Run: a.Run})
}
