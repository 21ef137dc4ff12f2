package ffmpeg

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/relay"
	"github.com/oncue/oncue/encoders/proc"
)

// This file keeps the input of a hot encoder open: it begins, adopts and ends the relay, of which
// package relay tells. The publisher is a process like any other of the encoder, except that its
// input is a connection to the relay. No publisher is kept warm beside it, as it would save a tenth
// of a second, which FFmpeg takes to load, for as much memory as the reader takes.

const (
	// relayRun is the run in the cookie of a relay and its reader.
	relayRun = "relay"
	// relayLimit is how much of an input is kept, bytes: half a minute at 8 Mb/s.
	relayLimit = 32 << 20
	// relayPatience is how long a relay stays without a controller, for which it holds the input
	// open. An upgrade of the controller takes seconds.
	relayPatience = 5 * time.Minute
	// relayEnd is how long a relay has to end: its reader takes its leave of the input first.
	relayEnd = 4 * time.Second
	// relayFirst is how long a relay may take to say the first word.
	relayFirst = 2 * time.Second
)

// heldInput is the input of a publisher that gets it from the relay.
const heldInput = "pipe:5" // listFD

// link is the connection to the relay, and what it said last.
type link struct {
	*relay.Link
	mark string
	gone chan struct{} // closed when the relay, or the connection, has ended
}

func (l *link) alive() bool {
	if l == nil {
		return false
	}
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}

// hot reports whether the input is held open.
func (s Settings) hot() bool { return s.Standby == "hot" }

// cannotHold says why an input cannot be held open; "" when it can.
func (s Settings) cannotHold() string {
	if len(s.Args) > 0 {
		return "needs input instead of args: the input is opened by a process of its own"
	}
	in, err := readInput(s.Input)
	switch {
	case s.Input == "" || err != nil:
		return "" // which is told by itself
	case in.kind == inputTest:
		return "is for live inputs, and a test picture begins at once anyway: use standby: warm"
	case in.raw():
		return "keeps what is compressed, and what a card brings would fill the memory: use standby: warm"
	case in.kind != inputDevice && !in.live:
		return "is for live inputs, and a file begins with a key frame anyway: use standby: warm"
	case !strings.HasPrefix(filepath.Base(s.Binary), "ffmpeg"):
		return "needs an FFmpeg, whose name begins with ffmpeg, as binary"
	}
	return ""
}

// decoding names the options before an input that are about its decoding, and so are the
// publisher's business.
var decoding = options(`
	hwaccel hwaccel_device hwaccel_output_format c c:v c:a codec codec:v codec:a vcodec acodec threads flags flags2
	err_detect ec skip_frame autorotate noautorotate`)

// published are the settings of the process that publishes: of a hot encoder it reads from the
// relay.
func (s Settings) published() Settings {
	if !s.hot() {
		return s
	}
	var args []string
	for i := 0; i < len(s.InputArgs); i++ {
		wide := i+1 < len(s.InputArgs) && !takesNoValue[s.InputArgs[i]]
		end := i + 1
		if wide {
			end++
		}
		if decoding[s.InputArgs[i]] {
			args = append(args, s.InputArgs[i:end]...)
		}
		i = end - 1
	}
	s.Input, s.InputArgs, s.held = heldInput, args, true
	return s
}

// reader is the command line that reads a job's input for the relay. All of its errors are
// permanent.
func (e *Encoder) reader(job encoders.Job) (command, error) {
	s := e.settings
	if err := checkMatches(s, job); err != nil {
		return command{}, encoders.Permanent(err)
	}
	if s.AudioInput != "" { // the publisher opens it
		s.AudioInput, s.Audio = "", "none"
	}
	s.Input, s.InputArgs = argument(job, s.Input), fillAll(job, s.InputArgs)
	in, err := readInput(s.Input)
	if err != nil {
		return command{}, encoders.Permanent(fmt.Errorf("the input %w", err))
	}
	c := command{binary: s.Binary}
	c.args = append(c.args, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+warning")
	opened, list := in.opening(s, false, newRedactor(s, job)) // it has the time to probe
	c.args, c.list, c.own = append(c.args, opened...), list, opened
	if s.Video != "none" {
		c.args = append(c.args, "-map", "0:v:0")
	}
	if s.Audio != "none" {
		c.args = append(c.args, "-map", audioMap(s, in))
	}
	// Without the delta a picture would wait for the sound of its time, and the other way round.
	c.args = append(c.args, "-c", "copy", "-max_interleave_delta", "1", "-flush_packets", "1", "-f", "nut",
		"-write_index", "0", "pipe:1")
	return c, nil
}

// order is what the encoder's relay is told for a job. Its mark, which is noted, says whether a
// relay fits: it does not depend on where the job publishes.
func (e *Encoder) order(job encoders.Job) (relay.Order, error) {
	s := e.settings
	c, err := e.reader(job)
	if err != nil {
		return relay.Order{}, err
	}
	binary, err := proc.LookUp(s.Binary, binaryKey)
	if err != nil {
		return relay.Order{}, encoders.Permanent(err)
	}
	o := relay.Order{Protocol: relay.Protocol, Folder: filepath.Join(e.env.Dir, relayDir), Binary: binary,
		Args: c.args, List: c.list, Stall: s.StallTimeout, Limit: relayLimit, Patience: relayPatience}
	text, err := json.Marshal([]any{o, s.Sandbox, s.Allow})
	if err != nil {
		return relay.Order{}, err
	}
	sum := sha256.Sum256(text)
	o.Mark = hex.EncodeToString(sum[:])
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mark != o.Mark { // a relay that was found may be ready by it
		e.mark = o.Mark
		e.announce()
	}
	return o, nil
}

// holdInput makes sure that the job's relay is there. The caller holds turn, and no process that
// publishes reads from another relay.
func (e *Encoder) holdInput(job encoders.Job) error {
	o, err := e.order(job)
	if err != nil {
		return err
	}
	if e.link.alive() && e.link.mark == o.Mark {
		return nil
	}
	if !e.link.alive() {
		e.findRelay()
	}
	if e.link.alive() && e.link.mark == o.Mark {
		return nil
	}
	e.dismiss()
	if err := e.beginRelay(o, job); err != nil {
		return fmt.Errorf("hold the input open: %w", err)
	}
	e.findRelay()
	if !e.link.alive() {
		return errors.New("hold the input open: the relay does not answer")
	}
	return nil
}

// findRelay connects to the relay of the folder, whoever began it, if there is one. The caller
// holds turn.
func (e *Encoder) findRelay() {
	e.unlink()
	l, err := relay.Dial(filepath.Join(e.env.Dir, relayDir))
	if err != nil {
		return
	}
	first, err := l.Next(relayFirst)
	if err != nil || first.Protocol != relay.Protocol {
		l.Close()
		return
	}
	e.link = &link{Link: l, mark: first.Mark, gone: make(chan struct{})}
	e.hear(first)
	at := e.link
	e.followers.Go(func() {
		defer e.nudge()
		defer close(at.gone)
		defer l.Close()
		for {
			r, err := l.Next(0)
			if err != nil {
				return
			}
			e.hear(r)
		}
	})
}

// unlink lets go of the relay, which stays. The caller holds turn.
func (e *Encoder) unlink() {
	if e.link != nil {
		e.link.Close()
		<-e.link.gone
		e.link = nil
	}
}

// hear takes a report of the relay.
func (e *Encoder) hear(r relay.Report) {
	why := cmp.Or(e.whyEnded(r), r.Why)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.costs.measure(time.Now(), r.PID, r.Reader)
	was := e.report
	e.report, e.heldError = r, why
	if was.Ready != r.Ready || was.Ended != r.Ended || was.Mark != r.Mark || (was.Reader == 0) != (r.Reader == 0) {
		e.announce()
	}
}

// beginRelay starts a relay, confined as far as its reader and its socket allow. The caller holds
// turn.
func (e *Encoder) beginRelay(o relay.Order, job encoders.Job) error {
	lock, err := proc.TakeLock(e.env.Dir, relayLock)
	if err != nil {
		return err
	}
	defer lock.Close() // the relay holds it
	log, err := proc.OpenOutput(filepath.Join(e.env.Dir, logFile))
	if err != nil {
		return err
	}
	defer log.Close()
	var room proc.Room
	if s := e.settings; s.apart() {
		room = apartFrom(e.env)
	} else if s.confined() {
		own, readers := relay.Folders(o.Folder)
		s.OutputArgs = nil
		reads := policyFor(s, encoders.Env{Guard: e.env.Guard}, encoders.Job{Account: job.Account, Name: job.Name,
			Matches: job.Matches})
		reads.Write = append(reads.Write, readers)
		o.Policy = &reads
		all := reads
		all.Sockets = true
		all.Write = append(slices.Clone(all.Write), own)
		all.Read = append(slices.Clone(all.Read), proc.Itself)
		room = all
	}
	return relay.Begin(o, lock, log, func(files []*os.File) error {
		attr := os.ProcAttr{Env: e.settings.environment(proc.NewCookie(relayRun), job, ""), Files: files}
		h, pid, err := proc.Start(room, proc.Itself, []string{os.Args[0], relay.Command}, attr)
		if err != nil {
			return err
		}
		proc.YieldMemory(pid)
		go func() { // as long as it lives, which may be longer than this encoder is open
			if ended, _ := h.Wait(time.Time{}); ended {
				h.Status(0)
			}
			h.Close()
		}()
		e.noteInLog("the input is held open, pid %d", pid)
		return nil
	})
}

// dismiss ends the relay of the folder, if there is one, and waits until nothing of it is left. The
// caller holds turn.
func (e *Encoder) dismiss() {
	folder := filepath.Join(e.env.Dir, relayDir)
	if _, err := os.Lstat(folder); err != nil {
		return
	}
	if !e.link.alive() {
		e.findRelay()
	}
	if e.link.alive() {
		e.link.End()
		select {
		case <-e.link.gone:
			e.noteInLog("the input is let go")
		case <-time.After(relayEnd):
		}
	}
	e.unlink()
	lock, err := proc.TakeLock(e.env.Dir, relayLock)
	for n := 0; errors.Is(err, proc.ErrLocked) && n < 100; n++ { // it was killed, or hangs
		if n > 10 {
			for _, pid := range proc.Holders(filepath.Join(e.env.Dir, relayLock)) {
				endByCookie(pid, relayRun)
			}
		}
		time.Sleep(10 * time.Millisecond)
		lock, err = proc.TakeLock(e.env.Dir, relayLock)
	}
	if err != nil {
		e.env.Log.Warn("what holds the input open does not end", "error", err)
		return
	}
	defer lock.Close()
	if err := os.RemoveAll(folder); err != nil {
		e.env.Log.Warn("the folder of an ended relay cannot be removed", "error", err)
	}
	e.mu.Lock()
	e.report, e.heldError, e.costs = relay.Report{}, "", costs{}
	e.mu.Unlock()
}

// feed connects to the relay for a process that publishes.
func (e *Encoder) feed() (*os.File, error) {
	f, err := relay.Publisher(filepath.Join(e.env.Dir, relayDir))
	if err != nil {
		return nil, fmt.Errorf("get the input that is held open: %w", err)
	}
	return f, nil
}

// KeepReady implements [encoders.Readier].
func (e *Encoder) KeepReady(job encoders.Job, on bool) {
	e.note(job)
	e.mu.Lock()
	if (e.wanted != nil) != on {
		e.announce()
	}
	e.wanted = nil
	if on {
		e.wanted = &job
	}
	e.told = true
	e.mu.Unlock()
	e.nudge()
}

// unwanted reports whether nothing is to be kept ready, by KeepReady's word, and nothing runs that
// would need it.
func (e *Encoder) unwanted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.told && e.wanted == nil && e.running == nil
}

// renewWanted takes the job of a start or stop for that of the standby: its token may be a newer
// one.
func (e *Encoder) renewWanted(job encoders.Job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.wanted != nil && e.wanted.ID() == job.ID() && job.Publish.Set() {
		e.wanted = &job
	}
}

// nudge has tend look again.
func (e *Encoder) nudge() {
	select {
	case e.nudged <- struct{}{}:
	default:
	}
}

// The pause after a standby that could not be made doubles from one to the other.
const (
	tendMin = time.Second
	tendMax = 30 * time.Second
)

// tend brings what is kept ready to what is wanted, again and again until the encoder is closed.
func (e *Encoder) tend() {
	pause := tendMin
	var again <-chan time.Time
	for {
		select {
		case <-e.closed:
			return
		case <-e.nudged:
		case <-again:
		}
		select {
		case <-e.closed:
			return
		case <-e.turn:
		}
		err := e.settleStandby()
		e.leave()
		again = nil
		if err != nil {
			e.env.Log.Warn("nothing is kept ready for a start", "error", e.redactor().clean(err.Error()))
			again = time.After(pause)
			pause = min(2*pause, tendMax)
		} else {
			pause = tendMin
		}
	}
}

// settleStandby makes or ends what is kept ready. The caller holds turn.
func (e *Encoder) settleStandby() error {
	e.mu.Lock()
	wanted, told, running := e.wanted, e.told, e.running
	e.mu.Unlock()
	if e.settings.hot() && !e.link.alive() {
		e.findRelay() // of an earlier controller
	}
	if !told {
		return nil
	}
	if running != nil { // it may need the relay as it is; another one is made when it has ended
		if wanted != nil && e.settings.hot() {
			_, err := e.order(*wanted)
			return err
		}
		return nil
	}
	if wanted == nil {
		e.mu.Lock()
		e.mark = "" // what the relay says until it has ended counts no more
		e.mu.Unlock()
		e.cool()
		e.dismiss()
		return nil
	}
	if !e.settings.hot() {
		e.dismiss() // of the settings before
		return e.warm(*wanted)
	}
	return e.holdInput(*wanted)
}

// readiness describes what is kept ready; nil when nothing is wanted. The caller holds mu.
func (e *Encoder) readiness() *encoders.Standby {
	found := e.settings.hot() && e.report.PID != 0 && (!e.told || e.running != nil) // by nobody's word, yet
	if e.settings.Standby == "none" || e.wanted == nil && !found {
		return nil
	}
	s := &encoders.Standby{Kind: e.settings.Standby, Ready: e.warmPID != 0 || e.running != nil}
	if !e.settings.hot() {
		return s
	}
	r := e.report // a copy, which does not change any more
	s.Ready, s.Error, s.CPU, s.Memory = r.Ready, e.heldError, e.costs.cpu, e.costs.memory
	if r.PID == 0 || r.Mark != e.mark {
		s.Ready, s.Error = false, "the input is being opened"
		return s
	}
	if r.AgeMS >= 0 {
		s.AgeMS, s.BeginsMS = &r.AgeMS, &r.BeginsMS
	}
	if r.BitsPerSecond > 0 {
		s.BitrateBPS = &r.BitsPerSecond
	}
	return s
}

// heldWhy is why the relay has no input now; "" when it has one.
func (e *Encoder) heldWhy() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heldError
}

// whyEnded tells in plain words why a relay's reader has ended.
func (e *Encoder) whyEnded(r relay.Report) string {
	if r.Ended == "" {
		return ""
	}
	said := words{lines: outputLines([]byte(strings.Join(r.Said, "\n"))), ffmpeg: true}
	f := classify(said, proc.Exit{}, e.redactor(), func(failure) bool { return false })
	if f.unexplained && r.Ended == "exit status 0" {
		return "the input ended"
	}
	if f.unexplained {
		return "its reader ended: " + r.Ended
	}
	return f.text
}

// costs measures what a hot standby costs.
type costs struct {
	from   time.Time
	used   time.Duration // of the processor, by then
	pids   [2]int        // whose
	cpu    *float64      // percent of a core, in the last window
	memory *int64        // bytes
}

// costsEvery is the window: looking at the memory of an FFmpeg takes milliseconds.
const costsEvery = 20 * time.Second

// measure looks at the relay and its reader, if it is time to.
func (c *costs) measure(now time.Time, relay, reader int) {
	if pids := [2]int{relay, reader}; pids != c.pids {
		*c = costs{pids: pids}
	}
	if relay == 0 || reader == 0 || now.Sub(c.from) < costsEvery && !c.from.IsZero() {
		return
	}
	used := proc.ProcessorTime(relay) + proc.ProcessorTime(reader)
	if !c.from.IsZero() {
		share := float64(used-c.used) / float64(now.Sub(c.from)) * 100
		c.cpu = &share
		memory := proc.ProportionalMemory(relay) + proc.ProportionalMemory(reader)
		c.memory = &memory
	}
	c.from, c.used = now, used
}
