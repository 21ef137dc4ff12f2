package ffmpeg

import (
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// shownSecret names the secret that a command line shows, other than {publish}; "" for none.
func shownSecret(args []string, r redactor) string {
	for i, arg := range args {
		before := ""
		if i > 0 {
			before = args[i-1]
		}
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case arg == "" || arg == placeholder:
		case isOption(before) && secret.Named(before):
			return "the value of " + before
		case strings.HasPrefix(arg, "-") && isOption(name) && value != "" && secret.Named(name):
			return "the value of " + name
		case !r.Holds(arg):
		case before == "-i":
			return "the secret in the input's URL"
		case strings.Contains(arg, "://"):
			return "the secret in a URL of its args"
		case isOption(before):
			return "the secret in the value of " + before
		default:
			return "a secret in its args"
		}
	}
	return ""
}
