package exec

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/exec/handover"
	"github.com/oncue/oncue/encoders/proc"
)

// urlFile is replaced by the path of a file that holds the publishing URL.
const urlFile = "{publish_file}"

// fileNamed is the placeholder of one of the settings' files.
func fileNamed(name string) string { return "{file:" + name + "}" }

// command is what to run for a job. {publish} still stands in it when it is handed over.
type command struct {
	path   string
	args   []string // with the program's name
	env    []string // NAME=value, those of the settings
	handed bool     // {publish} is a local address, behind which a handover publishes
	files  []string // texts, which it reads from descriptors
}

// build makes the command for a job. Its errors are permanent, and fit for people.
func (e *Encoder) build(job encoders.Job) (command, error) {
	c, err := e.words(job)
	if err == nil {
		c.path, err = proc.LookUp(c.args[0], "its path in command")
	}
	if err != nil {
		return c, encoders.Permanent(err)
	}
	return c, nil
}

// words is build without the search for the program.
func (e *Encoder) words(job encoders.Job) (command, error) {
	s, publish := e.settings, job.Publish.Reveal()
	c := command{handed: s.mentions(handover.Placeholder) && !s.SecretsInArgv}
	if s.NeedsPublish() && publish == "" {
		return c, errors.New("there is no publishing URL for {publish}: nothing publishes with a helper, and a stream " +
			"needs publish")
	}
	if strings.ContainsAny(publish, "\n\r\x00") {
		return c, errors.New("the publishing URL holds a line break")
	}
	if c.handed {
		if err := handover.Check(publish); err != nil {
			return c, fmt.Errorf("%w: use {publish_file}, or set secrets_in_argv", err)
		}
	}
	var paths []string // pairs of a placeholder and a path
	add := func(placeholder, text string) {
		if s.mentions(placeholder) {
			paths = append(paths, placeholder, fmt.Sprintf("/dev/fd/%d", handover.FileFD+len(c.files)))
			c.files = append(c.files, text)
		}
	}
	add(urlFile, publish+"\n")
	a, _ := ingest.Parse(publish)
	texts := strings.NewReplacer(handover.Placeholder, publish, "{publish_server}", a.Server(), "{publish_key}", a.Key())
	for _, name := range s.fileNames() {
		add(fileNamed(name), texts.Replace(job.Fill(s.Files[name])))
	}
	if s.SecretsInArgv {
		paths = append(paths, handover.Placeholder, publish)
	} else if err := s.RefuseSecrets(s.secrets); err != nil {
		return c, err
	}
	fill := func(text string) string { return strings.NewReplacer(paths...).Replace(job.Fill(text)) }
	for _, word := range s.Command {
		c.args = append(c.args, fill(word))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		c.env = append(c.env, name+"="+fill(s.Env[name]))
	}
	return c, nil
}

// mentions reports whether a placeholder stands in the command or the environment.
func (s Settings) mentions(placeholder string) bool {
	has := func(text string) bool { return strings.Contains(text, placeholder) }
	return slices.ContainsFunc(s.Command, has) || slices.ContainsFunc(slices.Collect(maps.Values(s.Env)), has)
}

func (s Settings) fileNames() []string { return slices.Sorted(maps.Keys(s.Files)) }

// newMask knows the secrets of the settings and of a job.
func (e *Encoder) newMask(job encoders.Job) *secret.Masker {
	m := secret.NewMasker()
	m.Spare(job.Name, job.Account)
	for _, v := range e.settings.secrets {
		m.Know(v.Reveal())
	}
	if job.Publish.Set() {
		m.Know(job.Publish.Reveal())
	}
	for name, value := range e.settings.Env {
		m.Learn(job.Fill(value))
		if secret.Named(name) {
			m.Know(job.Fill(value))
		}
	}
	for _, text := range e.settings.Files {
		m.Learn(job.Fill(text))
	}
	return m
}

// overTCP reports whether what is published to goes over TCP, where the kernel counts.
func overTCP(publish string) bool {
	u, err := url.Parse(publish)
	return err == nil && (u.Scheme == "rtmp" || u.Scheme == "rtmps" || u.Scheme == "tcp" || u.Scheme == "rtsp" ||
		u.Scheme == "rtsps")
}

// memoryFile is a file without a name that holds a text. It can be read any number of times, and
// goes with the last process that has it open.
func memoryFile(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("oncue", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "oncue")
	if _, err = f.WriteString(text); err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("hand over a file: %w", err)
	}
	return f, nil
}
