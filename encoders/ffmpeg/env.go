package ffmpeg

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// RefuseSecrets reports variables of Env that hold one of the secrets, or what looks like one. A
// process hands its environment on to every program that it runs, shows it to all of its user's,
// and prints it into crash reports.
func (s Settings) RefuseSecrets(known []secret.Value) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		m := secret.NewMasker()
		for _, v := range known {
			m.Know(v.Reveal())
		}
		m.Learn(s.Env[name])
		if m.Holds(s.Env[name]) {
			errs = append(errs, fmt.Errorf("env.%s: holds a secret, and an environment is no place for one: put it "+
				"into a URL of input or audio_input, or after an option of input_args, which are kept out of sight, or "+
				"into a file that allow names", name))
		}
	}
	return errors.Join(errs...)
}

// environment is that of a process of the encoder, see [proc.Environment].
func (s Settings) environment(cookie string, job encoders.Job, tmp string) []string {
	return proc.With(proc.Environment(cookie, job, tmp), s.variables(job))
}

// variables are those of Env for a job, as NAME=value.
func (s Settings) variables(job encoders.Job) []string {
	var set []string
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		set = append(set, name+"="+job.Fill(s.Env[name]))
	}
	return set
}
