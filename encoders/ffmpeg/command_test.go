package ffmpeg

import (
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// TestPlan shows the command line of each kind of input and output. What all of them begin with is
// left out.
func TestPlan(t *testing.T) {
	const (
		h264 = " -map 0:v:0 -c:v libx264 -preset veryfast -tune zerolatency -profile:v main -pix_fmt yuv420p -bf 0 " +
			"-g 600" +
			" -force_key_frames 'expr:gte(t,n_forced*2)' -sc_threshold 0 -b:v 3000k -maxrate 3000k -bufsize 3000k"
		aac  = " -map '0:a:0?' -c:a aac -b:a 128k -ar 48000 -ac 2"
		rtmp = " -f flv -flvflags no_duration_filesize -rtmp_live live -tcp_nodelay 1 -rw_timeout 10000000 -fpre " +
			"/dev/fd/4 rtmps://rtmp-auto.millicast.com:443/v2/pub\n" +
			"by descriptor 4, out of sight: rtmp_app=v2/pub\nby descriptor 4, out of sight: rtmp_playpath=********"
		fast   = "-probesize 32768 -fpsprobesize 0 "
		camera = "-probesize 32 -fpsprobesize 0 "
		slice  = "-thread_type slice "
		rate   = ` -vf 'fps='\''if(between(source_fps,1,240),source_fps,30)'\'''`
		concat = "-f concat -safe 0 -protocol_whitelist "
		whole  = "rtmps://rtmp-auto.millicast.com:443/v2/pub/lobby?token=canary-6b1f"
	)
	rendition := func(picture, rate string) string {
		return " -map '[out" + picture + "]' -c:v libx264 -preset veryfast -tune zerolatency -profile:v main -pix_fmt " +
			"yuv420p -bf 0 -g 50 -keyint_min 50 -sc_threshold 0 -b:v " + rate + " -maxrate " + rate + " -bufsize " + rate
	}
	firstLine := func(s string) string { return s[:strings.Index(s, "\n")] }
	afterFirst := func(s string) string { return s[strings.Index(s, "\n"):] }
	for _, c := range []struct {
		name    string
		change  func(*Settings)
		publish string
		want    string
	}{
		{"RTSP", func(s *Settings) { s.Input = "rtsp://u:canary-6b1f@10.0.0.7/1" }, whole,
			"-f concat -safe 0 -protocol_whitelist pipe,rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto " + camera +
				slice + "-i pipe:5" + h264 + rate + aac + rtmp +
				"\nby descriptor 5, out of sight: file 'rtsp://********@10.0.0.7/1'"},
		{"the user's options win", func(s *Settings) {
			s.Input, s.InputArgs, s.OutputArgs = "rtsp://10.0.0.7/1",
				[]string{"-rtsp_transport", "udp", "-probesize", "5M"}, []string{"-b:v", "1M", "-tcp_nodelay", "0"}
		}, whole,
			"-fpsprobesize 0 -thread_type slice -protocol_whitelist rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto " +
				"-timeout 10000000 -rtsp_transport udp -probesize 5M -i rtsp://10.0.0.7/1" +
				strings.Replace(h264, " -b:v 3000k", "", 1) + rate + aac + " -b:v 1M -tcp_nodelay 0" +
				strings.Replace(rtmp, " -tcp_nodelay 1", "", 1)},
		{"RTMP, copied", func(s *Settings) {
			s.Input, s.Video, s.Audio = "rtmp://10.0.0.7/live/{stream}", "copy", "copy"
		}, whole,
			fast + "-protocol_whitelist rtmp,rtmps,tcp,tls,crypto -rtmp_live live -rtmp_buffer 100 -tcp_nodelay 1 " +
				"-rw_timeout 10000000 -i rtmp://10.0.0.7/live/lobby" +
				" -map 0:v:0 -c:v copy -map '0:a:0?' -c:a copy" + rtmp},
		{"a file", func(s *Settings) { s.Input = "-loop.mp4" }, whole,
			"-protocol_whitelist file,crypto,data -stream_loop -1 -re -i file:-loop.mp4" + h264 + aac + rtmp},
		{"a camera", func(s *Settings) { s.Input, s.FPS, s.Width, s.Height = "/dev/video0", 25, 1280, 720 }, whole,
			"-thread_queue_size 64 -f v4l2 -framerate 25 -video_size 1280x720 -i /dev/video0" +
				strings.Replace(h264, "-g 600 -force_key_frames 'expr:gte(t,n_forced*2)'", "-g 50 -keyint_min 50", 1) +
				" -vf scale=1280:720,fps=25" + aac + rtmp},
		{"a camera and a microphone", func(s *Settings) {
			s.Input, s.FPS, s.Video, s.AudioInput = "/dev/video0", 25, "copy", "alsa:plughw:1,0"
			s.AudioInputArgs = []string{"-channels", "1"}
		}, whole,
			"-thread_queue_size 64 -use_wallclock_as_timestamps 1 -f v4l2 -framerate 25 -i /dev/video0 " +
				"-thread_queue_size 512 -f alsa -isync 0 -channels 1 -i plughw:1,0 -map 0:v:0 -c:v copy" +
				" -map 1:a:0 -c:a aac -b:a 128k -ar 48000 -ac 2 -af aresample=async=1000,apad -shortest" + rtmp},
		{"a silent camera and a radio", func(s *Settings) {
			s.Input, s.Video, s.Audio = "rtsp://u:canary-6b1f@10.0.0.7/1", "copy", "copy"
			s.AudioInput = "https://radio.example/live.aac?token=canary-6b1f"
		}, whole,
			concat + "pipe,rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto " + camera +
				"-thread_queue_size 512 -i pipe:5 " + concat + "pipe,http,https,tcp,tls,crypto,data,httpproxy " + fast +
				"-thread_queue_size 512 -vn -i pipe:6 -map 0:v:0 -c:v copy -map 1:a:0 -c:a copy -shortest" + rtmp +
				"\nby descriptor 5, out of sight: file 'rtsp://********@10.0.0.7/1'" +
				"\nby descriptor 6, out of sight: file 'https://radio.example/live.aac?token=********'"},
		{"a card", func(s *Settings) { s.Input, s.Audio = "decklink:UltraStudio Recorder 3G", "none" }, whole,
			"-thread_queue_size 64 -f decklink -i 'UltraStudio Recorder 3G'" + h264 +
				" -vf yadif=deint=interlaced -an" + rtmp},
		{"a microphone alone", func(s *Settings) { s.Input, s.Video = "pulse:default", "none" }, whole,
			"-f pulse -i default -vn" + strings.Replace(aac, "'0:a:0?'", "0:a:0", 1) + rtmp},
		{"a test picture", func(s *Settings) { s.Input = "testsrc" }, whole,
			"-re -f lavfi -i 'testsrc2=size=1280x720:rate=30[out0];sine=frequency=440:sample_rate=48000[out1]'" +
				strings.Replace(h264, "-g 600 -force_key_frames 'expr:gte(t,n_forced*2)'", "-g 60 -keyint_min 60", 1) +
				aac + rtmp},
		{"a test picture by its short name", func(s *Settings) { s.Input = "test" }, whole,
			"-re -f lavfi -i 'testsrc2=size=1280x720:rate=30[out0];sine=frequency=440:sample_rate=48000[out1]'" +
				strings.Replace(h264, "-g 600 -force_key_frames 'expr:gte(t,n_forced*2)'", "-g 60 -keyint_min 60", 1) +
				aac + rtmp},
		{"a file of that name", func(s *Settings) { s.Input = "./test" }, whole,
			"-protocol_whitelist file,crypto,data -stream_loop -1 -re -i file:./test" + h264 + aac + rtmp},
		{"a list from the web", func(s *Settings) {
			s.Input, s.Video = "https://x.example/live.m3u8?t=canary-6b1f", "none"
		}, whole,
			concat + "pipe,http,https,tcp,tls,crypto,data,httpproxy -i pipe:5 -vn" +
				strings.Replace(aac, "'0:a:0?'", "0:a:0", 1) + rtmp +
				"\nby descriptor 5, out of sight: file 'https://x.example/live.m3u8?t=********'"},
		{"a film from the web", func(s *Settings) {
			s.Input, s.Video, s.Audio = "https://x.example/a.mp4?sig=canary-6b1f", "copy", "none"
		}, whole,
			concat + "pipe,http,https,tcp,tls,crypto,data,httpproxy -stream_loop -1 -re -i pipe:5 -map 0:v:0 -c:v " +
				"copy -an" + rtmp +
				"\nby descriptor 5, out of sight: file 'https://x.example/a.mp4?sig=********'"},
		{"what a camera with a password of its own kind wants", func(s *Settings) {
			s.Input, s.Video, s.Audio = "rtsp://h/user=admin_password=canary-6b1f_channel=1", "copy", "none"
		}, whole,
			concat + "pipe,rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto " + camera + "-i " +
				"pipe:5 -map 0:v:0 -c:v copy -an" + rtmp +
				"\nby descriptor 5, out of sight: file 'rtsp://h/user=admin_password=********'"},
		{"an option that no list takes", func(s *Settings) {
			s.Input, s.Video, s.Audio, s.InputArgs = "https://h/a?token=canary-6b1f", "copy", "none",
				[]string{"-f", "mpegts"}
		}, whole,
			fast + "-protocol_whitelist http,https,tcp,tls,crypto,data,httpproxy -rw_timeout 10000000 -reconnect 1 " +
				"-reconnect_streamed 1 -reconnect_delay_max 4" +
				" -f mpegts -i 'https://h/a?token=********' -map 0:v:0 -c:v copy -an" + rtmp +
				"\nthe secret in the input's URL can be seen in the process list"},
		{"SRT in and out", func(s *Settings) {
			s.Input, s.Video, s.Audio = "srt://10.0.0.7:9000?mode=caller", "copy", "none"
		},
			"srt://srt-auto.millicast.com:10000?streamid=lobby%3Ft%3Dcanary-6b1f&passphrase=canary-6b1f&latency=300000",
			fast + "-protocol_whitelist srt,udp -connect_timeout 5000 -timeout 10000000 -i " +
				"'srt://10.0.0.7:9000?mode=caller' -map 0:v:0 -c:v copy -an" +
				" -f mpegts -muxdelay 0 -muxpreload 0 -fpre /dev/fd/4 " +
				"'srt://srt-auto.millicast.com:10000?latency=300000&mode=caller&pkt_size=1316&connect_timeout=5000'\n" +
				"by descriptor 4, out of sight: srt_streamid=********\nby descriptor 4, out of sight: " +
				"passphrase=********"},
		{"WHIP", func(s *Settings) { s.Args = []string{"-i", "x", "-f", "whip", "{publish}"} },
			"https://h/whip/lobby?auth=canary-6b1f",
			"-i x -f whip -fpre /dev/fd/4 https://h/whip/lobby\nby descriptor 4, out of sight: authorization=********"},
		{"renditions", func(s *Settings) {
			s.Input, s.FPS, s.OutputArgs = "rtsp://10.0.0.7/1", 25, []string{"-threads", "2"}
			s.Renditions = []Rendition{{1080, "4500k"}, {720, "2M"}}
		}, whole + "&priority=99",
			camera + slice + "-protocol_whitelist rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto -rtsp_transport tcp " +
				"-timeout 10000000 -i rtsp://10.0.0.7/1 -filter_complex " +
				"'[0:v:0]fps=25,split=2[in0][in1];[in0]scale=-2:1080[out0];[in1]scale=-2:720[out1]'" +
				rendition("0", "4500k") + aac + " -threads 2" + firstLine(rtmp) + rendition("1", "2M") + " -an -threads 2" +
				strings.Replace(firstLine(rtmp), "/dev/fd/4", "/dev/fd/6", 1) +
				afterFirst(rtmp) + strings.ReplaceAll(afterFirst(rtmp), "descriptor 4", "descriptor 6")},
		{"args", func(s *Settings) { s.Args = []string{"-i", "x {stream}", "-f", "flv", "{publish}"} }, whole,
			"-i 'x lobby' -f flv -fpre /dev/fd/4 rtmps://rtmp-auto.millicast.com:443/v2/pub\n" +
				"by descriptor 4, out of sight: rtmp_app=v2/pub\n" +
				"by descriptor 4, out of sight: rtmp_playpath=********"},
		{"args that show the key", func(s *Settings) {
			s.Args = []string{"-i", "x", "-f", "tee", "[f=flv]{publish}"}
		}, whole,
			"-i x -f tee '[f=flv]********'\nthe key can be seen in the process list: {publish} is not the last of " +
				"its args after -f flv or -f mpegts"},
		{"args whose container does not fit", func(s *Settings) {
			s.Args = []string{"-i", "x", "-f", "mpegts", "{publish}"}
		}, whole,
			"-i x -f mpegts '********'\nthe key can be seen in the process list: {publish} does not follow -f flv, " +
				"which its kind of URL needs"},
		{"args to a server without a hiding place", func(s *Settings) {
			s.Args = []string{"-i", "x", "-f", "flv", "{publish}"}
		}, "rtmp://u:canary-6b1f@h/app/lobby",
			"-i x -f flv '********'\nthe key can be seen in the process list: FFmpeg takes the user and password of " +
				"an RTMP URL from the command line alone"},
		{"args with a password", func(s *Settings) {
			s.Args = []string{"-i", "rtsp://u:canary-6b1f@h/1", "-f", "null", "-"}
		}, "",
			concat + "pipe,rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto -i pipe:5 -f null -\nby descriptor 5, " +
				"out of sight: file 'rtsp://********@h/1'"},
		{"args with two passwords", func(s *Settings) {
			s.Args = []string{"-y", "-loglevel", "info", "-re", "-i", "x", "-re", "-timeout", "9", "-i",
				"rtsp://u:canary-6b1f@h/1", "-i", "rtsp://u:canary-6b1f@h/2", "-f", "null", "-"}
		}, "",
			"-y -loglevel info -re -i x " + concat +
				"pipe,rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto -re -i pipe:5 -i 'rtsp://********@h/2' -f " +
				"null -" +
				"\nby descriptor 5, out of sight: file 'rtsp://********@h/1'\nthe secret in the input's URL can be " +
				"seen in the process list"},
		{"args with a secret option", func(s *Settings) {
			s.Args = []string{"-passphrase", "canary-6b1f", "-i", "srt://h:1", "-f", "null", "-"}
		}, "",
			concat + "pipe,srt,udp -i pipe:5 -f null -\nby descriptor 5, out of sight: file 'srt://h:1'\nby " +
				"descriptor 5, out of sight: option passphrase '********'"},
		{"an authorization before the input", func(s *Settings) {
			s.Input, s.Video, s.Audio, s.InputArgs = "https://h/a.ts", "copy", "none",
				[]string{"-headers", "Authorization: Bearer canary-6b1f"}
		}, whole,
			concat + "pipe,http,https,tcp,tls,crypto,data,httpproxy -probesize 32768 -fpsprobesize 0 -i pipe:5 -map " +
				"0:v:0 -c:v copy -an" + rtmp +
				"\nby descriptor 5, out of sight: file 'https://h/a.ts'\nby descriptor 5, out of sight: option " +
				"headers 'Authorization: Bearer ********'"},
		{"two headers, which take two lines", func(s *Settings) {
			s.Input, s.Video, s.Audio, s.InputArgs = "https://h/a.ts", "copy", "none",
				[]string{"-headers", "X-Key: canary-6b1f\r\nX-B: b\r\n"}
		}, whole,
			fast + "-protocol_whitelist http,https,tcp,tls,crypto,data,httpproxy -rw_timeout 10000000 -reconnect 1 " +
				"-reconnect_streamed 1 -reconnect_delay_max 4" +
				" -headers 'X-Key: ********\r\nX-B: b\r\n' -i https://h/a.ts -map 0:v:0 -c:v copy -an" + rtmp +
				"\nthe secret in the value of -headers can be seen in the process list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Defaults()
			c.change(&s)
			e := openIn(t, s, "")
			got := strings.Join(e.Plan(encoders.Job{Account: "ABC123", Name: "lobby", Publish: secret.New(c.publish)}),
				"\n")
			got = strings.TrimPrefix(got, "ffmpeg -nostdin -hide_banner -nostats -loglevel repeat+level+info "+
				"-stats_period 0.5 -progress pipe:1 ")
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	s := Defaults()
	s.Args, s.Input, s.InputArgs = []string{"x"}, "ftp://x/y", []string{"-re"}
	s.Video, s.Bitrate, s.Standby, s.LogSize, s.Width = "h265", "fast", "cold", 1, 3
	const want = `args: is the whole command line and leaves no room for input: keep one of them
input: ftp:// is not known; use rtsp, rtsps, rtmp, rtmps, srt, http, https, udp, rtp, tcp, file or lavfi, or write args
video: is "h265", must be one of h264, copy, none
standby: is "cold", must be one of none, warm, hot
bitrate: is "fast", must be bits per second such as 3000k or 3M
width: and height are 3 and 0, must be even and not negative
log_size: is 1, must be 4096 bytes or more`
	if err := s.Validate(); err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
	for want, args := range map[bool][]string{true: {"-f", "flv", "{publish}"}, false: {"-f", "null", "-"}} {
		if s := (Settings{Args: args}); s.NeedsPublish() != want {
			t.Errorf("args %q need a publishing URL: %v", args, !want)
		}
	}
	if err := Defaults().Validate(); err == nil ||
		err.Error() != "input: is missing: say what to publish, or write args for the whole command line" {
		t.Errorf("of the defaults: %v", err)
	}
}

func TestValidateSound(t *testing.T) {
	for _, c := range []struct {
		change func(*Settings)
		want   string
	}{
		{func(s *Settings) { s.AudioInput = "alsa:hw:1,0" }, ""},
		{func(s *Settings) { s.AudioInput = "pulse:" }, "audio_input: says pulse: and no name"},
		{func(s *Settings) { s.Input, s.Args, s.AudioInput = "", []string{"x"}, "test" },
			"audio_input: has no place in args: write the second -i there, or input instead of args"},
		{func(s *Settings) { s.AudioInput, s.Audio = "test", "none" },
			"audio_input: is sound, and audio is none: remove one of them"},
		{func(s *Settings) { s.AudioInput, s.Video = "test", "none" },
			"audio_input: would be the only input of which anything is taken: write it as input"},
		{func(s *Settings) { s.AudioInput = "/dev/video0" },
			"audio_input: has no sound: use alsa:NAME, pulse:NAME, a URL, a file, or test"},
		{func(s *Settings) { s.AudioInput, s.Audio = "alsa:hw:1", "copy" },
			"audio: is copy, and the sound of audio_input is not compressed: write aac"},
		{func(s *Settings) { s.AudioInputArgs = []string{"-itsoffset", "1"} },
			"audio_input_args: have no audio_input, before which they would stand"},
		{func(s *Settings) { s.Input = "alsa:hw:1" },
			"input: has sound alone: write video: none, or a picture here and this as audio_input"},
		{func(s *Settings) { s.Input, s.Video = "decklink:X", "copy" },
			"video: is copy, and the pictures of a card are not compressed: write h264"},
		{func(s *Settings) { s.Input, s.Standby = "decklink:X", "hot" },
			"standby: hot keeps what is compressed, and what a card brings would fill the memory: use standby: warm"},
	} {
		s := Defaults()
		s.Input = "rtsp://10.0.0.7/1"
		c.change(&s)
		got := ""
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}

func TestValidateRenditions(t *testing.T) {
	for _, c := range []struct {
		change func(*Settings)
		want   string
	}{
		{func(s *Settings) {}, ""},
		{func(s *Settings) { s.Renditions[1] = Rendition{1080, "2M"} }, ""}, // the same picture at half the rate
		{func(s *Settings) { s.Args, s.Input = []string{"-i", "x"}, "" },
			"renditions: have no place in args: write the outputs there, or input instead of args"},
		{func(s *Settings) { s.Video = "copy" }, "renditions: are encoded, and video is copy: write video: h264"},
		{func(s *Settings) { s.Renditions = s.Renditions[:1] },
			"renditions: is one alone, must be two or more: for one, write height and bitrate beside input"},
		{func(s *Settings) { s.Height = 720 },
			"renditions: have heights of their own: remove width and height beside them"},
		{func(s *Settings) { s.OutputArgs = []string{"-b:v", "1M"} },
			"output_args: has -b:v, which goes to every output, and renditions set it for each: remove it"},
		{func(s *Settings) { s.Renditions[0].Height = 1081 },
			"renditions[0].height: is 1081, must be even and 16 or more"},
		{func(s *Settings) { s.Renditions[1].Bitrate = "0k" },
			`renditions[1].bitrate: is "0k", must be bits per second such as 1500k or 3M`},
		{func(s *Settings) { s.Renditions[1].Bitrate = "" },
			`renditions[1].bitrate: is "", must be bits per second such as 1500k or 3M`},
		{func(s *Settings) { s.Renditions[0], s.Renditions[1] = s.Renditions[1], s.Renditions[0] },
			"renditions[1]: is 1080 at 4500k after 540 at 1.2M, must be smaller than the one before: the best comes first"},
		{func(s *Settings) { s.Renditions[1] = s.Renditions[0] },
			"renditions[1]: is 1080 at 4500k after 1080 at 4500k, must be smaller than the one before: the best comes first"},
	} {
		s := Defaults()
		s.Input, s.Renditions = "test", []Rendition{{1080, "4500k"}, {540, "1.2M"}}
		c.change(&s)
		got := ""
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}
