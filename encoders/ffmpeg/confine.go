package ffmpeg

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
	"github.com/oncue/oncue/encoders/sandbox"
)

// ownDir is the process's TMPDIR, in the encoder's folder. Each start empties it.
const ownDir = "ffmpeg.tmp"

// confined reports whether the encoder's processes are limited to what they need.
func (s Settings) confined() bool { return s.Sandbox != "off" && sandbox.Available() }

// apart reports whether the encoder runs a program of the user's own, which is only kept away from
// what belongs to the daemon: it reads no hostile video itself, and its needs cannot be known in
// advance.
func (s Settings) apart() bool {
	if s.Sandbox != "auto" || !sandbox.CanPartApart() {
		return false
	}
	path, err := proc.LookUp(s.Binary, binaryKey)
	return err == nil && (!strings.HasPrefix(filepath.Base(s.Binary), "ffmpeg") || isScript(path))
}

func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	mark := make([]byte, 2)
	_, err = io.ReadFull(f, mark)
	return err == nil && string(mark) == "#!"
}

// apartFrom hides what belongs to the daemon, except the encoder's own folder.
func apartFrom(env encoders.Env) proc.Room {
	hidden := slices.DeleteFunc(slices.Clone(env.Guard.Hidden), func(path string) bool { return path == "" })
	return sandbox.Apart{Hidden: hidden, Own: env.Dir}
}

// grants collects what the process of a job needs, as far as the settings show.
type grants struct {
	sandbox.Policy
	guard     encoders.Guard  // paths without links
	replaces  bool            // it overwrites existing outputs
	outputs   []string        // files to create for the process, which may not create any in their folders
	dependsOn map[string]mark // files and folders on which a cached result depends
	template  bool            // the current word has a placeholder: a viewer chooses part of the path
}

// policyFor returns what the process of a job may use. The job is empty for a program that is only
// asked for its version or the like.
func policyFor(s Settings, env encoders.Env, job encoders.Job) sandbox.Policy {
	return grantsFor(s, env, job).Policy
}

func grantsFor(s Settings, env encoders.Env, job encoders.Job) grants {
	g := grants{guard: realGuard(env.Guard)}
	g.known(s)
	g.environment()
	if env.Dir != "" {
		for _, own := range []string{ownDir, logFile, progressFile} {
			g.Write = append(g.Write, filepath.Join(env.Dir, own))
		}
	}
	g.replaces = slices.Contains(s.Args, "-y")
	words := slices.Concat([]string{s.Input, s.AudioInput}, s.InputArgs, s.AudioInputArgs, s.OutputArgs, s.Args)
	switch {
	case s.Input != "":
		g.input(job, s.Input)
		g.options(job, s.InputArgs)
		g.options(job, s.OutputArgs)
		if s.AudioInput != "" {
			g.input(job, s.AudioInput)
			g.options(job, s.AudioInputArgs)
		}
	case s.isFFmpeg():
		g.arguments(job, s.Args)
	default:
		for _, w := range s.Args {
			g.word(job, w, g.either)
		}
	}
	publish := job.Publish.Reveal()
	if out, err := readOutput(publish); err == nil && !out.network {
		if path := strings.TrimPrefix(out.url, "file:"); !g.guarded(path) {
			g.replaces = true // see fileOutput
			g.output(path)
		}
	}
	for _, value := range s.Env {
		g.word(job, value, g.source)
		words = append(words, value)
	}
	words = append(fillAll(job, words), publish)
	g.addresses(words)
	if s.Input == "" {
		g.ports(usualPorts...)
	}
	g.hardware(append(words, s.gpuWords()...))
	for _, a := range s.Allow {
		g.allowed(job.Fill(a))
	}
	slices.Sort(g.Ports)
	g.Ports = slices.Compact(g.Ports)
	return g
}

// allowed grants an entry of the settings' allow: a path, or tcp:PORT.
func (g *grants) allowed(what string) {
	if port, ok := strings.CutPrefix(what, "tcp:"); ok {
		g.port(port)
		return
	}
	if sandbox.IsSocket(what) {
		g.Sockets = true
	}
	if strings.HasPrefix(what, "/dev/") {
		g.Devices = append(g.Devices, what)
		return
	}
	g.Write = append(g.Write, what)
}

// makeOutputs creates the files in outputs. If that fails, the process itself will report it.
func (g grants) makeOutputs() {
	for _, path := range g.outputs {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
		}
	}
}

// prepareOwn creates or empties ownDir, and returns its path. What cannot be removed stays.
func prepareOwn(dir string) string {
	own := filepath.Join(dir, ownDir)
	if !isEmpty(own) {
		_ = os.RemoveAll(own)
		_ = os.Mkdir(own, 0o700)
	}
	return own
}

// isEmpty reports whether dir is a private folder with nothing in it.
func isEmpty(dir string) bool {
	if info, err := os.Lstat(dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
		return false
	}
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// checkSandbox warns where the settings weaken the sandbox.
func (e *Encoder) checkSandbox(job encoders.Job) (found []encoders.Finding) {
	warn := func(what, hint string) {
		found = append(found, encoders.Finding{Level: encoders.Warn, What: what, Hint: hint})
	}
	if e.settings.Sandbox == "off" {
		warn("it is not confined: whoever takes it over by what it reads can do all that the daemon can",
			"leave out sandbox: off, and name what it needs in allow")
		return found
	}
	if e.settings.apart() {
		warn("it is kept from the daemon's files, memory and signals, but not from TCP ports of this host, the admin "+
			"side's among them",
			"sandbox: strict holds it to what its settings name; give the admin side a token")
		return found
	}
	for _, path := range e.settings.Allow {
		if !filepath.IsAbs(path) {
			continue
		}
		g := grants{guard: realGuard(e.env.Guard)}
		if real := sandbox.Real(path); g.guards(real) || sandbox.Holds(real, g.guard.Paths) {
			warn("allow gives it "+path+", which holds the daemon's own files",
				"name the files or folders in it that it needs")
		}
		if _, err := os.Stat(job.Fill(path)); err != nil {
			warn("allow has "+path+", which does not exist: "+err.Error(),
				"is it spelled right? it does not allow what is created later")
		}
	}
	p := policyFor(e.settings, e.env, job)
	for _, port := range e.env.Guard.Ports {
		if slices.Contains(p.Ports, port) {
			warn(fmt.Sprintf("it may connect to TCP port %d, which its settings name, "+
				"and where the admin side listens", port),
				"let one of them have another port, or set admin.token")
		}
	}
	if p.Sockets {
		warn("it may use unix sockets, for its settings need them: also one of the admin side", "")
	}
	return found
}

// realGuard resolves the links in a guard's paths, and drops empty ones. Most paths share one
// folder, which is resolved once.
func realGuard(g encoders.Guard) encoders.Guard {
	folders := map[string]string{}
	var paths []string
	for _, p := range g.Paths {
		if p == "" {
			continue
		}
		dir := filepath.Dir(p)
		real, known := folders[dir]
		if !known {
			real = sandbox.Real(dir)
			folders[dir] = real
		}
		path := filepath.Join(real, filepath.Base(p))
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSymlink {
			path = sandbox.Real(path)
		}
		paths = append(paths, path)
	}
	g.Paths = paths
	return g
}
