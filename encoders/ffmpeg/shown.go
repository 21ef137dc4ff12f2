package ffmpeg

import (
	"regexp"
	"strings"
)

// secretOption matches options whose value is a secret, by what programs call them.
var secretOption = regexp.MustCompile(`(?i)^--?[a-z_-]*(token|passphrase|password|passwd|secret|api[_-]?key|stream[_-]?key|srt_streamid|playpath|authorization|cookies)(=.+)?$`)

// shownSecret says which secret stands in a command line, {publish} apart; "" when none is found. What looks like none cannot be told.
func shownSecret(args []string) string {
	for i, arg := range args {
		before := ""
		if i > 0 {
			before = args[i-1]
		}
		switch m := secretOption.FindStringSubmatch(arg); {
		case m != nil && m[2] != "":
			return "the value of " + strings.TrimSuffix(arg, m[2])
		case m != nil && i+1 < len(args):
			return "the value of " + arg
		case headers.MatchString(arg):
			return "the authorization in " + orArgs(before)
		case strings.Contains(arg, "://") && showsSecret(arg):
			if before == "-i" {
				return "the password in the input's URL"
			}
			return "the password in a URL of its args"
		}
	}
	return ""
}

func orArgs(option string) string {
	if strings.HasPrefix(option, "-") {
		return option
	}
	return "its args"
}

// secretValues are the values of options that say they are secrets.
func secretValues(args []string) []string {
	var values []string
	for i, arg := range args {
		switch m := secretOption.FindStringSubmatch(arg); {
		case m != nil && m[2] != "":
			values = append(values, m[2][1:])
		case m != nil && i+1 < len(args) && args[i+1] != placeholder:
			values = append(values, args[i+1])
		}
	}
	return values
}
