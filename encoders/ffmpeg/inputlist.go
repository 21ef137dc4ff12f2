package ffmpeg

import (
	"fmt"
	"strings"
)

// passable names the options of inputs that FFmpeg's list format hands on to what it lists.
var passable = map[string]bool{
	"-probesize": true, "-fpsprobesize": true, "-analyzeduration": true, "-max_delay": true, "-rtsp_transport": true, "-rtsp_flags": true,
	"-reorder_queue_size": true, "-buffer_size": true, "-timeout": true, "-rw_timeout": true, "-connect_timeout": true, "-rtmp_live": true,
	"-rtmp_buffer": true, "-tcp_nodelay": true, "-latency": true, "-user_agent": true,
}

// hideInput keeps an input's URL out of the command line when it carries a password: FFmpeg reads the URL, and the options for it, from a
// list (its concat demuxer) behind descriptor listFD. It does not for web addresses, whose lists could then reach our descriptors, nor
// when the user gives options that cannot be handed on. args are the input's options without -i.
func hideInput(in input, args []string) (outer []string, list string, hidden bool) {
	if in.kind != inputRTSP && in.kind != inputRTMP && in.kind != inputSRT || !showsSecret(in.url) {
		return nil, "", false
	}
	var text strings.Builder
	fmt.Fprintf(&text, "ffconcat version 1.0\nfile %s\n", enclose(in.url))
	whitelist := whitelists[in.kind]
	for i := 0; i+1 < len(args); i += 2 {
		switch name, value := args[i], args[i+1]; {
		case name == "-protocol_whitelist":
			whitelist = value
		case passable[name]:
			fmt.Fprintf(&text, "option %s %s\n", name[1:], enclose(value))
		default:
			return nil, "", false
		}
	}
	if len(args)%2 != 0 {
		return nil, "", false
	}
	outer = []string{"-f", "concat", "-safe", "0", "-protocol_whitelist", "pipe," + whitelist}
	for i := 0; i < len(args); i += 2 {
		if args[i] == "-probesize" || args[i] == "-fpsprobesize" || args[i] == "-analyzeduration" { // FFmpeg probes what the list gives once more
			outer = append(outer, args[i], args[i+1])
		}
	}
	return append(outer, "-i", fmt.Sprintf("pipe:%d", listFD)), text.String(), true
}

// enclose writes a word of FFmpeg's list format.
func enclose(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// showsSecret reports whether a URL carries a password or a key.
func showsSecret(url string) bool { return userinfo.MatchString(url) || pairs.MatchString(url) }
