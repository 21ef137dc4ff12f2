package ffmpeg

import (
	"path/filepath"
	"strings"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// redactor masks the secrets of one job in texts for people.
type redactor struct{ *secret.Masker }

// newRedactor returns a redactor for the settings' secrets, and for the secret parts of the job and
// the settings.
func newRedactor(s Settings, job encoders.Job) redactor {
	r := redactor{secret.NewMasker()}
	r.Spare(job.Name, job.Account)
	input, sound := argument(job, s.Input), argument(job, s.AudioInput)
	for _, v := range s.secrets {
		r.Know(v.Reveal())
		// The key may be in the path, and a list's pieces have the same path.
		if text := v.Reveal(); text == input || text == sound {
			if i := strings.LastIndexByte(text, '/'); i > strings.Index(text, "://")+len("://") {
				r.Know(text[:i+1])
			}
		}
	}
	if publish := job.Publish.Reveal(); publish != "" {
		r.Know(publish)
		outputs, _ := readOutputs(s, publish)
		for _, out := range outputs {
			for _, h := range out.hidden {
				if h.name != "rtmp_app" {
					r.Know(h.value)
				}
			}
		}
	}
	for _, args := range [][]string{{s.Input, s.AudioInput}, s.InputArgs, s.AudioInputArgs, s.OutputArgs, s.Args} {
		args = fillAll(job, args)
		for _, a := range args {
			r.Learn(a)
		}
		for _, value := range secretValues(args) {
			r.Know(value)
		}
	}
	return r
}

// clean returns text without secrets.
func (r redactor) clean(text string) string { return r.Mask(text) }

// blankLog is blank for what a process has written to the log since the last call.
func (e *Encoder) blankLog(p *process, ended bool) {
	to, err := proc.Blank(e.redactor().Masker, filepath.Join(e.env.Dir, logFile), max(p.blanked, p.LogFrom), ended)
	if err != nil {
		e.env.Log.Warn("secrets may stay in the encoder's output file", "error", err)
	}
	p.blanked = to
}
