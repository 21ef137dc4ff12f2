package ffmpeg

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// inside names the options of an input's format and protocol, which the list passes on to the file
// that it lists.
var inside = options(`
	probesize fpsprobesize analyzeduration max_delay fflags avioflags use_wallclock_as_timestamps formatprobesize
	rtsp_transport rtsp_flags allowed_media_types min_port max_port listen_timeout reorder_queue_size buffer_size
	pkt_size user_agent timeout stimeout rw_timeout connect_timeout listen tcp_nodelay fifo_size overrun_nonfatal
	localaddr local_addr localport ttl sources block reuse rtmp_live rtmp_buffer rtmp_app rtmp_playpath rtmp_conn
	rtmp_flashver rtmp_pageurl rtmp_subscribe rtmp_swfurl rtmp_tcurl latency rcvlatency peerlatency passphrase
	pbkeylen srt_streamid transtype mode tlpktdrop ffs ipttl iptos inputbw oheadbw maxbw nakreport lossmaxttl linger
	payload_size smoother headers referer cookies auth_type http_proxy multiple_requests seekable reconnect
	reconnect_at_eof reconnect_on_network_error reconnect_on_http_error reconnect_streamed reconnect_delay_max
	http_persistent http_multiple live_start_index max_reload m3u8_hold_counters allowed_extensions
	allowed_segment_extensions extension_picky tls_verify ca_file cafile cert cert_file key key_file verifyhost
	decryption_key cryptokey`)

// outside names the options of FFmpeg itself and of its decoders, which stand before the list.
var outside = options(`
	re readrate stream_loop itsoffset thread_queue_size hwaccel hwaccel_device hwaccel_output_format c c:v c:a codec
	codec:v codec:a vcodec acodec threads thread_type t to ss an vn sn dn autorotate noautorotate flags flags2 err_detect
	ec skip_frame discard`)

// probing names the inside options that are needed outside as well, because FFmpeg probes the
// list's output again.
var probing = options(`probesize fpsprobesize analyzeduration fflags`)

func options(names string) map[string]bool {
	set := map[string]bool{}
	for _, n := range strings.Fields(names) {
		set["-"+n] = true
	}
	return set
}

// hideInput keeps an input that holds a secret out of the command line: FFmpeg reads the URL and
// its options from a list (its concat demuxer) behind a descriptor. Only the list may use
// descriptors; what it lists may use only the protocols of its kind, so that a playlist from the
// network cannot open our descriptors. hidden is false when the user gives options that a list
// cannot pass on. args are the input's options without -i.
func hideInput(in input, args []string) (outer []string, list string, hidden bool) {
	whitelist := whitelists[in.kind]
	if whitelist == "" {
		return nil, "", false
	}
	var text strings.Builder
	fmt.Fprintf(&text, "ffconcat version 1.0\nfile %s\n", enclose(in.url))
	for i := 0; i < len(args); i++ {
		name, value := args[i], ""
		if !takesNoValue[name] {
			if i++; i == len(args) || strings.ContainsAny(args[i], "\r\n") { // the list has one line for each
				return nil, "", false
			}
			value = args[i]
		}
		switch {
		case name == "-protocol_whitelist":
			whitelist = value
		case outside[name] && takesNoValue[name]:
			outer = append(outer, name)
		case outside[name]:
			outer = append(outer, name, value)
		case inside[name]:
			fmt.Fprintf(&text, "option %s %s\n", name[1:], enclose(value))
			if probing[name] {
				outer = append(outer, name, value)
			}
		default:
			return nil, "", false
		}
	}
	fmt.Fprintf(&text, "option protocol_whitelist %s\n", enclose(whitelist))
	outer = append([]string{"-f", "concat", "-safe", "0", "-protocol_whitelist", "pipe," + whitelist}, outer...)
	return append(outer, "-i", fmt.Sprintf("pipe:%d", cmp.Or(in.fd, listFD))), text.String(), true
}

// secretIn reports whether an input's URL or the options that the user gives for it hold a secret.
func secretIn(url string, args []string, r redactor) bool {
	return r.Holds(url) || slices.ContainsFunc(args, r.Holds) || len(secretValues(args)) > 0
}

// enclose writes a word of FFmpeg's list format.
func enclose(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// hideInputs is hideInput for the user's own command line: the first input that holds a secret goes
// into the list. The known input options directly before the -i belong to that input; everything
// before them stays as it is.
func hideInputs(args []string, r redactor) (out []string, list string) {
	begin := 0 // of the args that may belong to the next input
	for i := 0; i+1 < len(args); i++ {
		if args[i] != "-i" {
			continue
		}
		in, err := readInput(args[i+1])
		first := optionsBefore(args, begin, i)
		if err == nil && !slices.Contains(args[begin:first], "-f") && !strings.Contains(args[i+1], placeholder) {
			if outer, list, hidden := hideInput(in, args[first:i]); hidden && secretIn(in.url, args[first:i], r) {
				return slices.Concat(args[:first], outer, args[i+2:]), list
			}
		}
		begin = i + 2
		i++
	}
	return args, ""
}

// optionsBefore returns where the options of the input at args[end] begin, at begin or later.
func optionsBefore(args []string, begin, end int) int {
	for end > begin {
		switch {
		case takesNoValue[args[end-1]] && outside[args[end-1]]:
			end--
		case end-2 >= begin && !takesNoValue[args[end-2]] &&
			(inside[args[end-2]] || outside[args[end-2]] || args[end-2] == "-protocol_whitelist"):
			end -= 2
		default:
			return end
		}
	}
	return end
}

// secretValues are the values of options whose names show that they are secrets.
func secretValues(args []string) []string {
	var values []string
	for i := 0; i+1 < len(args); i++ {
		if isOption(args[i]) && secret.Named(args[i]) && args[i+1] != placeholder {
			values = append(values, args[i+1])
		}
	}
	return values
}

func isOption(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && !strings.ContainsAny(arg, "=: /")
}
