package exec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/exec/handover"
	"github.com/oncue/oncue/encoders/proc"
	"github.com/oncue/oncue/encoders/sandbox"
)

// The files of an encoder's folder. The program appends to the log itself, so it never waits for
// us.
const (
	lockFile  = "exec.lock" // locked while any process of the family lives
	stateFile = "exec.json"
	logFile   = "exec.log"
	countFile = "exec.sent" // how much a handover has delivered
	ownDir    = "exec.own"  // the program's, kept from run to run: its working folder, caches, temporary files
)

// state is what a later controller must know of the program. It holds no secret.
type state struct {
	proc.Identity
	Stream   string    `json:"stream"` // stream id
	Run      string    `json:"run"`
	Started  time.Time `json:"started"`
	LogFrom  int64     `json:"log_from"` // where this run begins in the log
	Ready    bool      `json:"ready"`    // it was ready once
	Measured bool      `json:"measured"` // it publishes over TCP
	Handed   bool      `json:"handed"`   // through a handover, which counts
	Serves   bool      `json:"serves"`   // it publishes: there is a URL
}

func (st state) save(dir string) error { return encoders.Remember(dir, stateFile, st) }

// launch starts a program and saves its identity. If that fails, it ends the program.
func (e *Encoder) launch(c command, job encoders.Job) error {
	lock, err := proc.TakeLock(e.env.Dir, lockFile)
	if err != nil {
		return err
	}
	defer lock.Close() // the program holds it
	own := filepath.Join(e.env.Dir, ownDir)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return err
	}
	dir := own
	if e.settings.Dir != "" {
		dir = job.Fill(e.settings.Dir)
	}
	log := filepath.Join(e.env.Dir, logFile)
	if _, err := proc.Rotate(log, e.settings.LogSize); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open the output file: %w", err)
	}
	out, err := proc.OpenOutput(log)
	if err != nil {
		return fmt.Errorf("open the output file: %w", err)
	}
	defer out.Close()
	size, err := out.Stat()
	if err != nil {
		return fmt.Errorf("open the output file: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	cookie := proc.NewCookie(job.Run)
	bare := proc.Environment(cookie, job, own)
	attr := os.ProcAttr{Dir: dir, Env: proc.With(bare, c.env), Files: []*os.File{null, out, out, lock}}
	for _, text := range c.files {
		file, err := memoryFile(text)
		if err != nil {
			return err
		}
		defer file.Close()
		attr.Files = append(attr.Files, file)
	}
	path, args := c.path, c.args
	if c.handed {
		count, err := os.OpenFile(filepath.Join(e.env.Dir, countFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer count.Close()
		var told *os.File
		order := handover.Order{Program: path, Args: args, Publish: job.Publish.Reveal(), Forward: !e.settings.KillGroup}
		if attr, told, err = handover.Process(attr, bare, count, order); err != nil {
			return err
		}
		defer told.Close()
		path, args = proc.Itself, []string{os.Args[0], handover.Command}
	}
	h, pid, err := proc.Start(e.room(), path, args, attr)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
			err = encoders.Permanent(err)
		}
		return fmt.Errorf("start %s: %w", c.args[0], err)
	}
	st := state{Stream: job.ID(), Run: job.Run, Started: time.Now(), LogFrom: size.Size(),
		Measured: e.measures(job), Handed: c.handed, Serves: job.Publish.Set()}
	if st.Identity, err = proc.Identify(h, pid, cookie); err == nil {
		err = st.save(e.env.Dir)
	}
	if err != nil { // a later controller could not find it
		proc.Abandon(h, pid)
		return err
	}
	proc.YieldMemory(pid)
	e.noteInLog("run %s begins, pid %d", job.Run, pid)
	e.open(newProcess(e.settings, st), h)
	return nil
}

// measures reports whether bytes show that it publishes.
func (e *Encoder) measures(job encoders.Job) bool {
	switch e.settings.Liveness {
	case "bytes":
		return true
	case "exit":
		return false
	}
	return overTCP(job.Publish.Reveal())
}

// room confines the program; nil: nothing does.
func (e *Encoder) room() proc.Room {
	if !e.settings.apart() {
		return nil
	}
	hidden := slices.DeleteFunc(slices.Clone(e.env.Guard.Hidden), func(path string) bool { return path == "" })
	return sandbox.Apart{Hidden: hidden, Own: e.env.Dir}
}

// apart reports whether the program is kept from what belongs to the daemon.
func (s Settings) apart() bool { return s.Sandbox != "off" && sandbox.CanPartApart() }

// notePrefix marks our own lines in the log.
const notePrefix = "--- "

// noteInLog writes a line of our own, with the time, into the log. The log is for people only.
func (e *Encoder) noteInLog(format string, args ...any) {
	if f, err := proc.OpenOutput(filepath.Join(e.env.Dir, logFile)); err == nil {
		defer f.Close()
		_, _ = fmt.Fprintf(f, notePrefix+time.Now().Format(time.DateTime)+" "+format+"\n", args...)
	}
}
