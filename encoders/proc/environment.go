package proc

import (
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/oncue/oncue/encoders"
)

// inherited names the variables that a child inherits. Everything else stays with us: sockets,
// credentials, FFREPORT.
var inherited = []string{
	"PATH", "HOME", "USER", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR",
	"PULSE_SERVER", "ALSA_CARD", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH", "CUDA_VISIBLE_DEVICES",
	"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
}

// Environment returns a child's environment. The C locale keeps its messages in English. tmp is its
// folder for temporary files; "" means ours.
func Environment(cookie string, job encoders.Job, tmp string) []string {
	env := []string{"LC_ALL=C.UTF-8", CookieVar + "=" + cookie, StreamVar + "=" + url.PathEscape(job.ID())}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok && (name != "TMPDIR" || tmp == "") {
			env = append(env, name+"="+value)
		}
	}
	if tmp != "" {
		env = append(env, "TMPDIR="+tmp, "XDG_CACHE_HOME="+tmp)
	}
	return env
}

// With returns an environment with more variables, as NAME=value, which win.
func With(env, more []string) []string {
	name := func(pair string) string { name, _, _ := strings.Cut(pair, "="); return name }
	set := map[string]bool{}
	for _, pair := range more {
		set[name(pair)] = true
	}
	return append(slices.DeleteFunc(slices.Clone(env), func(pair string) bool { return set[name(pair)] }), more...)
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// CheckVariables reports what is impossible in the key env of a driver.
func CheckVariables(env map[string]string, bad func(key, format string, args ...any)) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		switch {
		case !variableName.MatchString(name):
			bad("env", "has %q, must be a name of letters, digits and _", name)
		case strings.HasPrefix(name, "ONCUE_"), name == "LC_ALL":
			bad("env", "has %s, which oncue itself sets: remove it", name)
		case strings.ContainsRune(env[name], 0):
			bad("env."+name, "holds a zero byte")
		}
	}
}
