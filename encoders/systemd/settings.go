package systemd

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/oncue/oncue/encoders"
)

// Settings names a unit of this host. Both texts may hold the placeholders of
// [encoders.Job.Fill].
type Settings struct {
	Unit        string `yaml:"unit" shown:"yes" doc:"a service or target of this host, such as obs-headless.service, or enc@{stream}.service with the stream's name as the instance"`
	PublishFile string `yaml:"publish_file" shown:"yes" doc:"file that holds the publishing URL while the unit is on, for LoadCredential= in it; empty = the unit knows where to publish"`
}

// Defaults returns settings that lack the unit.
func Defaults() Settings { return Settings{} }

var (
	placeholder = regexp.MustCompile(`\{(stream|account|[0-9]+)\}`)
	// Of systemd.unit(5), "Description"; @ parts the instance from the template's name.
	unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]+\.(service|target)$`)
)

// Validate reports every impossible value.
func (s Settings) Validate() error {
	var errs []error
	name := placeholder.ReplaceAllString(s.Unit, "x")
	switch {
	case s.Unit == "":
		errs = append(errs, errors.New("unit: is missing; name the unit, such as obs-headless.service"))
	case !unitName.MatchString(name):
		errs = append(errs, fmt.Errorf("unit: is %q, must be the name of a unit that ends in .service or .target; "+
			"{stream}, {account}, {1} … are filled in", s.Unit))
	case strings.Contains(name, "@."):
		errs = append(errs, fmt.Errorf("unit: is %q, a template; write which instance, such as %s", s.Unit,
			strings.Replace(s.Unit, "@.", "@{stream}.", 1)))
	}
	if s.PublishFile != "" && (!filepath.IsAbs(s.PublishFile) || strings.HasSuffix(s.PublishFile, "/")) {
		errs = append(errs, fmt.Errorf("publish_file: is %q, must be a whole path, such as /run/oncue/obs.url",
			s.PublishFile))
	}
	return errors.Join(errs...)
}

// NeedsPublish reports whether a start needs a publishing URL. Otherwise the unit has its own.
func (s Settings) NeedsPublish() bool { return s.PublishFile != "" }

// Address tells this unit apart from others, for the loader's checks.
func (s Settings) Address() string { return "systemd unit " + s.Unit }

// name is the unit's name for a job.
func (s Settings) name(job encoders.Job) string { return job.FillWith(s.Unit, escape) }

// escape writes a text as systemd-escape does, so that %I in a template is the text again. Source:
// systemd.unit(5), "String Escaping for Inclusion in Unit Names".
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == '/':
			b.WriteByte('-')
		case c == '.' && i > 0, c == ':', c == '_', '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}
