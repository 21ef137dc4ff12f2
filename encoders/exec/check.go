package exec

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/exec/handover"
	"github.com/oncue/oncue/encoders/proc"
)

// Plan returns the command line of a start, with secrets masked.
func (e *Encoder) Plan(job encoders.Job) []string {
	e.note(job)
	c, err := e.words(job)
	mask := e.masker()
	if err != nil {
		return []string{"cannot start: " + mask.Mask(err.Error())}
	}
	var words []string
	for _, pair := range c.env {
		name, value, _ := strings.Cut(pair, "=")
		words = append(words, name+"="+proc.Quote(mask.Mask(e.local(value, c))))
	}
	for _, arg := range c.args {
		words = append(words, proc.Quote(mask.Mask(e.local(arg, c))))
	}
	lines := []string{strings.Join(words, " ")}
	if c.handed {
		a, _ := ingest.Parse(job.Publish.Reveal()) // words has tried it
		lines = append(lines, "what it publishes to the local address is passed on to "+mask.Mask(a.Server()))
	}
	for i, text := range c.files {
		lines = append(lines, fmt.Sprintf("/dev/fd/%d holds: %s", handover.FileFD+i, proc.Quote(mask.Mask(text))))
	}
	return lines
}

// local puts the local address into a word of a command that is handed over.
func (e *Encoder) local(word string, c command) string {
	if !c.handed {
		return word
	}
	return strings.ReplaceAll(word, handover.Placeholder, fmt.Sprintf(handover.Local, "PORT"))
}

// Check tells what a start would meet.
func (e *Encoder) Check(ctx context.Context, job encoders.Job) (found []encoders.Finding) {
	e.note(job)
	mask := e.masker()
	add := func(level encoders.Level, what, hint string) {
		found = append(found, encoders.Finding{Level: level, What: mask.Mask(what), Hint: hint})
	}
	c, err := e.build(job)
	switch {
	case err != nil:
		add(encoders.Bad, err.Error(), "")
	default:
		found = append(found, known(ctx, c)...)
	}
	if i := slices.IndexFunc(c.args, mask.Holds); i >= 0 {
		add(encoders.Warn, fmt.Sprintf("word %d of its command can be seen in the process list of this machine, and holds "+
			"a secret", i+1), "publish over RTMP or with {publish_file}, put other secrets into env, and leave out "+
			"secrets_in_argv")
	}
	if dir := job.Fill(e.settings.Dir); dir != "" {
		if info, err := os.Stat(dir); err != nil {
			add(encoders.Bad, "its dir cannot be used: "+err.Error(), "")
		} else if !info.IsDir() {
			add(encoders.Bad, "its dir "+dir+" is no folder", "")
		}
	}
	if err == nil && !e.measures(job) && job.Publish.Set() {
		add(encoders.OK, "its bytes are not measured: it counts as publishing while it runs, so confirm: feed is right "+
			"for its stream", "")
	}
	switch {
	case e.settings.Sandbox == "off":
		add(encoders.Warn, "it is not confined: whoever takes it over by what it reads can do all that the daemon can",
			"leave out sandbox: off")
	case !e.settings.apart():
		add(encoders.OK, "it is not confined, because only root can keep a program of any kind from the daemon's "+
			"files: trust it as the daemon's own user, or let a systemd unit of its own run it", "")
	}
	return found
}
