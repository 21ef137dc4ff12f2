package ffmpeg

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkEnv reports what is impossible of Env.
func (s Settings) checkEnv(bad func(key, format string, args ...any)) {
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		switch {
		case !variableName.MatchString(name):
			bad("env", "has %q, must be a name of letters, digits and _", name)
		case strings.HasPrefix(name, "ONCUE_"), name == "LC_ALL":
			bad("env", "has %s, which oncue itself sets: remove it", name)
		case strings.ContainsRune(s.Env[name], 0):
			bad("env."+name, "holds a zero byte")
		}
	}
}

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

// variables are those of Env for a job, as NAME=value.
func (s Settings) variables(job encoders.Job) []string {
	var set []string
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		set = append(set, name+"="+job.Fill(s.Env[name]))
	}
	return set
}

// environment is that of a process of the encoder, see [proc.Environment].
func (s Settings) environment(cookie string, job encoders.Job, tmp string) []string {
	env := slices.DeleteFunc(proc.Environment(cookie, job, tmp), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		_, own := s.Env[name]
		return own
	})
	return append(env, s.variables(job)...)
}
