package tcp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// script is a box whose answers a test writes: answer is called with each line, and returns what
// the box says.
func script(t *testing.T, settings, greeting string, answer func(line string) string) *Encoder {
	t.Helper()
	k := kind{settings: settings, client: func(b *box, c net.Conn) {
		_, _ = io.WriteString(c, greeting)
		b.handle(c, bufio.ScanLines, func(line string) { _, _ = io.WriteString(c, answer(line)) })
	}}
	l := newBox(k).serve(t, k.client)
	e := k.open(t, l.Addr().String(), t.TempDir(), "")
	t.Cleanup(func() { e.Close() })
	return e
}

// simple is a box with three commands.
const simple = `
start: {send: "on", expect: '^ok$', busy: '^busy', permanent: '^never', refuse: '^err (.*)'}
stop: {send: "off", expect: '^ok$', refuse: '^err (.*)'}
facts: {state: '^state (\w+)'}
status: {send: state, expect: '^state ', live: 'facts.state == "on"', stopped: 'facts.state == "off"'}
`

func mustSay(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}

func TestMistakesAreFound(t *testing.T) {
	const good = "address: \"10.0.0.9:1\"\n"
	for _, c := range []struct{ text, want string }{
		{simple, "address: must be the host and port"},
		{"address: 10.0.0.9" + simple, "address: must be the host and port"},
		{good + "status: {send: s, live: 'true', stopped: 'true'}", "start: must be an exchange"},
		{good + simple + "facts2: {}", "unknown key"},
		{good + strings.Replace(simple, "'^ok$'", "'^(ok$'", 1), "start.expect: error parsing regexp"},
		{good + strings.Replace(simple, `send: "on"`, `hex: "8G"`, 1), "start.hex: must be bytes in hex"},
		{good + strings.Replace(simple, `send: "on"`, `send: "on", hex: "80"`, 1), "start: has send and hex"},
		{good + strings.Replace(simple, `expect: '^ok$', busy`, `busy`, 1), "start.expect: must be set, too"},
		{good + strings.Replace(simple, `send: "on"`, `send: "on {chanel}"`, 1), "start.send: {chanel} is not known"},
		{good + strings.Replace(simple, "send: state, ", "", 1), "status.send: must be set, unless connection is kept"},
		{good + "connection: kept" + strings.Replace(simple, "send: state, ", "", 1), "status.expect: is for the answer"},
		{good + "messages: bytes\nend: FFF" + simple, "end: must be one byte in hex"},
		{good + strings.Replace(simple, "'facts.state", "'fact.state", 1), "status.live: unknown name fact"},
		{good + "facts: {x: '['}\nvars: {stream: 1}" + strings.Replace(simple, "facts: {state: '^state (\\w+)'}\n", "", 1),
			"vars.stream: this name has a meaning already"},
	} {
		if _, err := load(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nreports %v; want %q", c.text, err, c.want)
		}
	}
}

// TestPatternsKeepTheirRepeats: {2} in a pattern says how often, and {stream} matches the name as
// it is.
func TestPatternsKeepTheirRepeats(t *testing.T) {
	e := script(t, strings.Replace(simple, "'^ok$', busy", `'^o{2}k {stream}$', busy`, 1), "", func(line string) string {
		return map[string]string{"on": "ook lobXy\nook lob.y\n", "state": "state off\n"}[line]
	})
	job := encodertest.NewJob("")
	job.Name = "lob.y"
	if err := e.Start(within(t, 5*time.Second), job); err != nil {
		t.Error(err)
	}
	lines, _ := e.Log(context.Background(), 10)
	mustSay(t, strings.Join(lines, "\n"), "> start: on", "< start: ook lobXy", "< start: ook lob.y")
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		answer          string
		busy, permanent bool
		want            string
	}{
		{"err no signal\n", false, false, `start: start: on: the box has refused: no signal`},
		{"busy with it\n", true, false, "busy with it"},
		{"never\n", false, true, "on: the box has refused: never"},
	} {
		e := script(t, simple, "", func(line string) string {
			if line == "on" {
				return "something else\n" + c.answer
			}
			return "state off\n"
		})
		job := encodertest.NewJob("")
		err := e.Start(within(t, 5*time.Second), job)
		if err == nil || errors.Is(err, encoders.ErrBusy) != c.busy || encoders.IsPermanent(err) != c.permanent {
			t.Errorf("%q: %v", c.answer, err)
			continue
		}
		mustSay(t, "start: "+err.Error(), c.want)
		if s, err := e.Status(within(t, 5*time.Second), job); err != nil || s.State != encoders.StateStopped ||
			s.Stream != "" {
			t.Errorf("%q: after the refusal it is %+v, %v", c.answer, s, err)
		}
	}
}

// TestGoneInTheMiddle: a box that ends the connection, or says half a line, may have done what it
// was told. The start is not sent again before the state was read.
func TestGoneInTheMiddle(t *testing.T) {
	for _, half := range []string{"", "o"} {
		starts, state := 0, "off"
		k := kind{settings: simple + "\nconnection: kept", client: func(b *box, c net.Conn) {
			b.handle(c, bufio.ScanLines, func(line string) {
				switch line {
				case "on":
					starts++
					state = "on"
					_, _ = io.WriteString(c, half)
					c.Close()
				case "off":
					state = "off"
					_, _ = io.WriteString(c, "ok\n")
				default:
					fmt.Fprintf(c, "state %s\n", state)
				}
			})
		}}
		b := newBox(k)
		l := b.serve(t, k.client)
		e := k.open(t, l.Addr().String(), t.TempDir(), "")
		job := encodertest.NewJob("")
		err := e.Start(within(t, 5*time.Second), job)
		if err == nil || encoders.IsPermanent(err) {
			t.Errorf("a start that was not answered: %v", err)
		} else if mustSay(t, err.Error(), "on: the box has ended the connection"); half != "" {
			mustSay(t, err.Error(), "had begun to say: o")
		}
		if err := e.Start(within(t, 5*time.Second), job); err != nil {
			t.Errorf("the second try: %v", err)
		}
		s, err := e.Status(within(t, 5*time.Second), job)
		b.mu.Lock()
		if err != nil || s.State != encoders.StatePublishing || s.ByHand || s.Stream != job.ID() || starts != 1 {
			t.Errorf("after %d starts it is %+v, %v", starts, s, err)
		}
		b.mu.Unlock()
		if err := e.Stop(within(t, 5*time.Second), job); err != nil {
			t.Error(err)
		}
		e.Close()
	}
}

// TestLateAnswer: what comes after the time is over is not taken for the answer to the next
// question.
func TestLateAnswer(t *testing.T) {
	state := "on"
	var late *time.Timer
	k := kind{settings: simple + "\nconnection: kept\ntimeout: 100ms", client: func(b *box, c net.Conn) {
		b.handle(c, bufio.ScanLines, func(line string) {
			said := state
			if said == "on" {
				state = "off"
				late = time.AfterFunc(150*time.Millisecond, func() { fmt.Fprintf(c, "state %s\n", said) })
				return
			}
			fmt.Fprintf(c, "state %s\n", said)
		})
	}}
	l := newBox(k).serve(t, k.client)
	e := k.open(t, l.Addr().String(), t.TempDir(), "")
	t.Cleanup(func() { late.Stop(); e.Close() })
	s, err := e.Status(within(t, 5*time.Second), encodertest.NewJob(""))
	if err != nil || s.State != encoders.StateUnknown {
		t.Errorf("without an answer it is %+v, %v", s, err)
	}
	mustSay(t, s.Error, "state: no answer in time")
	for range 3 {
		if s, err := e.Status(within(t, 5*time.Second), encodertest.NewJob("")); err != nil ||
			s.State != encoders.StateStopped {
			t.Errorf("it is %+v, %v", s, err)
		}
	}
}

func TestGarbage(t *testing.T) {
	for _, c := range []struct{ what, says, want string }{
		{"endless line", strings.Repeat("x", 200_000), "a message of more than 65536 bytes"},
		{"binary", "\x00\xff\xfe\x01\nstate\x00?\n", "no answer in time"},
		{"flood", strings.Repeat("\n", 20_000), "does not stop talking"},
		{"a state that no rule knows", "state of the nation\n", "no rule fits the answer: state of the nation"},
	} {
		e := script(t, simple+"timeout: 300ms", "", func(string) string { return c.says })
		s, err := e.Status(within(t, 5*time.Second), encodertest.NewJob(""))
		if err != nil || s.State != encoders.StateUnknown {
			t.Errorf("%s: it is %+v, %v", c.what, s, err)
		}
		mustSay(t, s.Error, c.want)
	}
}

// TestStopThatIsRefused: a box that says no is asked again, and is not taken for stopped.
func TestStopThatIsRefused(t *testing.T) {
	offs, state := 0, "off"
	e := script(t, simple, "", func(line string) string {
		switch line {
		case "on":
			state = "on"
			return "ok\n"
		case "off":
			if offs++; offs < 2 {
				return "err still writing\n"
			}
			state = "off"
			return "ok\n"
		}
		return "state " + state + "\n"
	})
	job := encodertest.NewJob("")
	if err := e.Start(within(t, 5*time.Second), job); err != nil {
		t.Fatal(err)
	}
	await(t, e, job, "on", is(encoders.StatePublishing))
	if err := e.Stop(within(t, time.Second), job); err == nil {
		t.Error("a stop that was refused is confirmed")
	} else {
		mustSay(t, err.Error(), "still says publishing", "still writing")
	}
	if err := e.Stop(within(t, 5*time.Second), job); err != nil {
		t.Errorf("the next stop: %v", err)
	}
	if s, _ := e.Status(within(t, 5*time.Second), job); s.State != encoders.StateStopped || s.ByHand {
		t.Errorf("after the stop it is %+v", s)
	}
}

// TestButtonIsHeardAtOnce: with a kept connection, a press at the box is seen long before the
// interval; a push that got lost is made up for by the next question.
func TestButtonIsHeardAtOnce(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		k := kind{preset: "blackmagic-streaming-encoder", client: webPresenter}
		interval := "interval: 300ms"
		if pushes {
			k.changed, interval = webPresenterPush, "interval: 1h"
		}
		b := newBox(k)
		l := b.serve(t, k.client)
		s := settingsOf(t, "preset: blackmagic-streaming-encoder\naddress: \""+l.Addr().String()+
			"\"\nquick_interval: 20ms\n"+interval)
		e, err := New(s, env(t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		job := encodertest.NewJob("")
		ctx, cancel := context.WithCancel(t.Context())
		seen := make(chan encoders.Status, 100)
		ended := make(chan error, 1)
		go func() { ended <- e.Watch(ctx, job, func(s encoders.Status) { seen <- s }) }()
		expect := func(what string, ok func(encoders.Status) bool) {
			t.Helper()
			limit := time.After(10 * time.Second)
			for {
				select {
				case s := <-seen:
					if ok(s) {
						return
					}
				case <-limit:
					t.Fatalf("watch does not report it %s", what)
				}
			}
		}
		expect("stopped", is(encoders.StateStopped))
		b.press(true)
		expect("live by hand", func(s encoders.Status) bool { return s.State == encoders.StatePublishing && s.ByHand })
		b.press(false)
		expect("stopped again", is(encoders.StateStopped))
		cancel()
		<-ended
		e.Close()
	}
}

// TestChattyBox: a box that says something new all the time is not asked all the time.
func TestChattyBox(t *testing.T) {
	asked, state := 0, "off"
	k := kind{settings: simple + "connection: kept", client: func(b *box, c net.Conn) {
		b.handle(c, bufio.ScanLines, func(string) { asked++; fmt.Fprintf(c, "state %s\n", state) })
	}}
	b := newBox(k)
	l := b.serve(t, k.client)
	s := settingsOf(t, "address: \""+l.Addr().String()+"\"\ninterval: 1h\nquick_interval: 1h"+k.settings)
	e, err := New(s, env(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan encoders.Status, 100)
	ended := make(chan error, 1)
	job := encodertest.NewJob("")
	go func() { ended <- e.Watch(ctx, job, func(s encoders.Status) { seen <- s }) }()
	<-seen
	say := func(now string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		state = now
		b.say("state " + now + "\n")
	}
	say("on")
	<-seen // at once, not after the interval
	for i := range 100 {
		say(fmt.Sprintf("s%d", i))
	}
	if _, err := e.Status(ctx, job); err != nil { // its answer comes after all that
		t.Error(err)
	}
	b.mu.Lock()
	if asked != 3 {
		t.Errorf("it was asked %d times; want once at first, once for the change, and once at the end", asked)
	}
	b.mu.Unlock()
	cancel()
	<-ended
	e.Close()
}

// TestWhereItPublishes: server and key are put into the device, a device that keeps another address
// is not started, and no key is shown, neither ours nor the one that was there.
func TestWhereItPublishes(t *testing.T) {
	k := kind{preset: "blackmagic-streaming-encoder", client: webPresenter, changed: webPresenterPush}
	b := newBox(k)
	l := b.serve(t, k.client)
	job := encodertest.NewJob("rtmps://rtmp-auto.millicast.com:443/v2/pub/lobby?token=" + password)
	var mu sync.Mutex
	var said []string
	note := func(lines ...string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, lines...)
	}
	try := func(more string) (*Encoder, error) {
		e := k.open(t, l.Addr().String(), t.TempDir(), more)
		t.Cleanup(func() { e.Close() })
		e.Trace(func(l TraceLine) { note(l.Text) })
		note(e.Plan(job)...)
		err := e.Start(within(t, 10*time.Second), job)
		lines, _ := e.Log(context.Background(), 1000)
		note(append(lines, fmt.Sprint(err))...)
		for _, f := range e.Check(within(t, 5*time.Second), job) {
			note(f.What, f.Hint)
		}
		return e, err
	}
	_, err := try("vars: {platform: Custom URL H.266}")
	if err == nil || b.copies() != 0 {
		t.Errorf("a device without the platform is started: %v", err)
	} else {
		mustSay(t, err.Error(), "the box has refused: Current Platform: YouTube")
	}
	e, err := try("")
	if err != nil {
		t.Fatal(err)
	}
	s := await(t, e, job, "live", is(encoders.StatePublishing))
	if s.Health == nil || *s.Health.BitrateBPS != 3161672 || *s.Health.Congestion != 0.07 ||
		time.Since(s.Since).Round(10*time.Second) != 70*time.Second {
		t.Errorf("its figures are %+v since %v", s.Health, s.Since)
	}
	want := "rtmps://rtmp-auto.millicast.com:443/v2/pub lobby?token=" + password
	b.mu.Lock()
	if got := b.told["Current URL"] + " " + b.told["Stream Key"]; got != want {
		t.Errorf("the device publishes to %q", got)
	}
	b.mu.Unlock()
	if err := e.Stop(within(t, 5*time.Second), job); err != nil {
		t.Error(err)
	}
	e.Close()
	all := strings.Join(said, "\n")
	for _, secret := range []string{password, "seldomkey"} {
		if strings.Contains(all, secret) {
			t.Errorf("a secret is shown: %s", strings.ReplaceAll(all, secret, "<THE SECRET>"))
		}
	}
	mustSay(t, all, "Action: Start", "Stream Key: ********", "connect to 127.0.0.1")
}

// TestLinesCannotBeSmuggled: a value does not end the line that it stands in.
func TestLinesCannotBeSmuggled(t *testing.T) {
	e := script(t, strings.Replace(simple, `send: "on"`, `send: "on {stream}"`, 1), "", func(string) string {
		return "state off\n"
	})
	job := encodertest.NewJob("")
	job.Name = "lobby\nformat"
	if err := e.Start(within(t, 5*time.Second), job); !encoders.IsPermanent(err) {
		t.Errorf("a name with a line in it: %v; want a permanent error", err)
	}
}

// TestAddressOfTheStream: with a placeholder in the address, a stream's box is asked, and not the
// one that was connected to before.
func TestAddressOfTheStream(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(first.Addr().String())
	second, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", port))
	if err != nil {
		t.Skip("there is no second address here: ", err)
	}
	for state, l := range map[string]net.Listener{"off": first, "on": second} {
		go func() {
			c, err := l.Accept()
			l.Close()
			if err != nil {
				return
			}
			defer c.Close()
			for lines := bufio.NewScanner(c); lines.Scan(); {
				fmt.Fprintf(c, "state %s\n", state)
			}
		}()
	}
	e := kind{settings: simple + "connection: kept"}.open(t, "127.0.0.{1}:"+port, t.TempDir(), "")
	t.Cleanup(func() { e.Close() })
	job := encodertest.NewJob("")
	job.Matches = []string{"1"}
	await(t, e, job, "off", is(encoders.StateStopped))
	job.Matches = []string{"2"}
	await(t, e, job, "on", is(encoders.StatePublishing))
}

// TestOneClient: the one place that a box has is free again when it is not used.
func TestOneClient(t *testing.T) {
	k := kind{preset: "atem-mini", client: atem, blind: true}
	b := newBox(k)
	l := b.serve(t, k.client)
	first, second := k.open(t, l.Addr().String(), t.TempDir(), ""), k.open(t, l.Addr().String(), t.TempDir(), "")
	t.Cleanup(func() { first.Close(); second.Close() })
	job := encodertest.NewJob("")
	await(t, first, job, "stopped", is(encoders.StateStopped))
	s := await(t, second, job, "refused", is(encoders.StateUnknown))
	mustSay(t, s.Error, "120 connection rejected")
	await(t, second, job, "stopped", is(encoders.StateStopped))
}

// TestCheck tells what is wrong, and what to do.
func TestCheck(t *testing.T) {
	e := script(t, simple, "", func(string) string { return "state off\n" })
	job := encodertest.NewJob("")
	if f := e.Check(within(t, 5*time.Second), job); len(f) != 1 || f[0].Level != encoders.OK {
		t.Errorf("found %+v", f)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	gone := kind{settings: simple}.open(t, address, "", "")
	f := gone.Check(within(t, 5*time.Second), job)
	if len(f) != 1 || f[0].Level != encoders.Bad || f[0].Hint == "" {
		t.Fatalf("found %+v", f)
	}
	mustSay(t, f[0].What, "connection refused: nothing listens there")
}

// FuzzCut cuts what comes in arbitrary pieces: the messages are the same however it comes, and none
// is larger than allowed.
func FuzzCut(f *testing.F) {
	f.Add([]byte("STREAM STATE:\nStatus: Idle\n\nACK\r\n\r\n\n\n"), uint8(3), uint8(1))
	f.Add([]byte("500 connection info:\r\nmodel: x\r\n\r\n200 ok\r\n"), uint8(1), uint8(0))
	f.Add([]byte{0x90, 0x41, 0xFF, 0x90, 0x51, 0xFF, 0x90}, uint8(2), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, step, kind uint8) {
		const most = 64
		newCutter := func() *cutter {
			return &cutter{messages: []string{"lines", "blocks", "bytes"}[kind%3], end: 0xFF, most: most}
		}
		whole := newCutter()
		want, wantErr := whole.add(data)
		pieces := newCutter()
		var got []string
		var gotErr error
		for rest := data; len(rest) > 0 && gotErr == nil; {
			n := min(int(step)%7+1, len(rest))
			var more []string
			more, gotErr = pieces.add(rest[:n])
			got, rest = append(got, more...), rest[n:]
		}
		if strings.Join(got, "|") != strings.Join(want, "|") || (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("in pieces %q, %v; at once %q, %v", got, gotErr, want, wantErr)
		}
		for _, m := range got {
			if kind%3 != 2 && len(m) > 3*most {
				t.Errorf("a message of %d bytes", len(m))
			}
		}
		_ = pieces.pending()
		_ = pieces.packet(data)
	})
}

// TestPublishOptional: a box whose preset puts the URL into it where the stream has one goes
// without where it has none; one that cannot start without is not taken for such.
func TestPublishOptional(t *testing.T) {
	for preset, want := range map[string]bool{"blackmagic-streaming-encoder": true, "atem-mini": false} {
		s := settingsOf(t, "preset: "+preset+"\naddress: 10.0.0.40:9977")
		if !s.NeedsPublish() || s.PublishOptional() != want {
			t.Errorf("%s: takes a URL: %v, goes without: %v, want %v", preset, s.NeedsPublish(), s.PublishOptional(), want)
		}
	}
	if s := settingsOf(t, "address: 10.0.0.40:9977\nstart: {send: go}\nstop: {send: halt}"+
		"\nstatus: {send: state, live: 'text == \"on\"', stopped: 'text == \"off\"'}"); s.NeedsPublish() {
		t.Error("a box that is told nothing takes a URL")
	}
}
