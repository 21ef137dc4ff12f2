package tcp

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/oncue/oncue/encoders/encodertest"
)

// kinds are the fake devices, each written by its documentation.
var kinds = []kind{
	{preset: "blackmagic-streaming-encoder", client: webPresenter, changed: webPresenterPush},
	{preset: "atem-mini", settings: "min_gap: 100ms", client: atem, blind: true},
	{preset: "visca-power", client: visca},
	{preset: "visca-power-udp", udp: viscaUDP},
	{preset: "hyperdeck-record", client: hyperDeck},
	{settings: ownBox, client: ownClient, dies: true},
	{settings: dumpingBox, client: dumpingClient, dies: true},
	{settings: tellingBox, client: dumpingClient, changed: tell, dies: true},
}

func (k kind) name() string {
	if k.preset != "" {
		return k.preset
	}
	first, _, _ := strings.Cut(k.settings, "\n")
	return strings.TrimPrefix(first, "# ")
}

func TestDevices(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name(), func(t *testing.T) {
			encodertest.Run(t, encodertest.Harness{
				EchoesRun: true, OneStream: true,
				New: func(t *testing.T) encodertest.Rig { rig, _ := k.rig(t); return rig },
			})
		})
	}
}

// handle gives each line or block to the device, and waits while it is frozen.
func (b *box) handle(c net.Conn, split bufio.SplitFunc, do func(text string)) {
	s := bufio.NewScanner(c)
	s.Split(split)
	for s.Scan() {
		b.mu.Lock()
		if !b.frozen {
			do(s.Text())
		}
		b.mu.Unlock()
	}
}

// blocks splits at empty lines, and takes CR LF for LF.
func blocks(data []byte, atEOF bool) (advance int, token []byte, err error) {
	for i := range data {
		rest := data[i:]
		for _, end := range []string{"\n\n", "\r\n\r\n"} {
			if bytes.HasPrefix(rest, []byte(end)) {
				return i + len(end), data[:i], nil
			}
		}
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}

// webPresenter is a Web Presenter by Blackmagic's "Web Presenter Ethernet Protocol v1.0".
func webPresenter(b *box, c net.Conn) {
	put := func(format string, args ...any) { _, _ = fmt.Fprintf(c, format+"\n\n", args...) }
	b.mu.Lock()
	if len(b.told) == 0 {
		b.told = map[string]string{"Current Platform": "YouTube", "Stream Key": "seldomkey-abc1-def2", "Current URL": ""}
	}
	put("PROTOCOL PREAMBLE:\nVersion: 1.0")
	put("IDENTITY:\nModel: Blackmagic Web Presenter HD\nLabel: Web Presenter\nUnique ID: 00112233445566778899AABBCCDDEEFF")
	put("%s", b.streamSettings())
	put("%s", b.streamState())
	b.mu.Unlock()
	b.handle(c, blocks, func(text string) {
		header, body, _ := strings.Cut(strings.ReplaceAll(text, "\r", ""), "\n")
		fields := map[string]string{}
		for line := range strings.Lines(body) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok {
				put("NACK")
				return
			}
			fields[key] = value
		}
		switch header {
		case "STREAM SETTINGS:":
			put("ACK")
			if len(fields) == 0 {
				put("%s", b.streamSettings())
				return
			}
			platforms := []string{"YouTube", "Twitch", "Custom URL H.264", "Custom URL H.265"}
			if p, ok := fields["Current Platform"]; ok && slices.Contains(platforms, p) {
				b.told["Current Platform"] = p
			}
			if strings.HasPrefix(b.told["Current Platform"], "Custom URL") && fields["Current URL"] != "" {
				b.told["Current URL"] = fields["Current URL"]
			}
			if fields["Stream Key"] != "" {
				b.told["Stream Key"] = fields["Stream Key"]
			}
			update := "STREAM SETTINGS:"
			for key := range fields {
				update += "\n" + key + ": " + b.told[key]
			}
			b.say(update + "\n\n")
		case "STREAM STATE:":
			put("ACK")
			switch fields["Action"] {
			case "":
				put("%s", b.streamState())
			case "Start":
				b.start()
			case "Stop":
				b.stop()
			}
		default:
			put("NACK")
		}
	})
}

func (b *box) streamSettings() string {
	return fmt.Sprintf("STREAM SETTINGS:\nAvailable Video Modes: Auto, 1080p25, 1080p50\nVideo Mode: 1080p50\n"+
		"Current Platform: %s\nCurrent Server: \nCurrent Quality Level: Streaming Medium\nStream Key: %s\nPassword: %s\n"+
		"Current URL: %s\nCustomizable URL: true\nAvailable Default Platforms: YouTube, Twitch, Custom URL H.264",
		b.told["Current Platform"], b.told["Stream Key"], password, b.told["Current URL"])
}

func (b *box) streamState() string {
	status := map[phase]string{
		off: "Idle", starting: "Connecting", on: "Streaming", stopping: "Flushing", failed: "Interrupted",
	}[b.phase]
	return "STREAM STATE:\nStatus: " + status + "\nBitrate: 3161672\nDuration: 00:00:01:05\nCache Used: 7"
}

func webPresenterPush(b *box) {
	state := b.streamState()
	b.say(state[:strings.Index(state, "\nBitrate")] + "\n\n")
}

// atem is an ATEM Mini as users describe it: commands as HyperDecks have them, nothing that tells
// whether it streams, and one client at a time.
func atem(b *box, c net.Conn) {
	put := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	b.mu.Lock()
	if len(b.clients) > 1 {
		put("120 connection rejected")
		b.mu.Unlock()
		return
	}
	put("500 connection info:\r\nprotocol version: 1.0\r\nmodel: ATEM Mini Pro\r\n")
	b.mu.Unlock()
	b.handle(c, bufio.ScanLines, func(text string) {
		command, rest, _ := strings.Cut(text, ": ")
		switch {
		case text == "ping":
			put("200 ok")
		case command == "stream start":
			if !strings.HasPrefix(rest, "url: rtmp") || !strings.Contains(rest, " key: lobby?token=") {
				put("102 invalid value")
				return
			}
			if b.start() {
				put("150 invalid state")
				return
			}
			put("200 ok")
		case text == "stream stop":
			if b.stop() {
				put("150 invalid state")
				return
			}
			put("200 ok")
		default:
			put("103 unsupported")
		}
	})
}

// visca is a camera with VISCA over TCP.
func visca(b *box, c net.Conn) {
	data := make([]byte, 100)
	for {
		n, err := c.Read(data)
		if err != nil {
			return
		}
		b.mu.Lock()
		if !b.frozen {
			for _, out := range b.visca(data[:n]) {
				_, _ = c.Write(out)
			}
		}
		b.mu.Unlock()
	}
}

func (b *box) visca(command []byte) [][]byte {
	switch shownHex(command) {
	case "81 01 04 00 02 FF":
		b.start()
		return [][]byte{{0x90, 0x41, 0xFF}, {0x90, 0x51, 0xFF}}
	case "81 01 04 00 03 FF":
		b.stop()
		return [][]byte{{0x90, 0x41, 0xFF}, {0x90, 0x51, 0xFF}}
	case "81 09 04 00 FF":
		power := byte(2)
		if b.phase == off || b.phase == starting {
			power = 3
		}
		return [][]byte{{0x90, 0x50, power, 0xFF}}
	}
	return [][]byte{{0x90, 0x60, 0x02, 0xFF}}
}

// viscaUDP is a camera with Sony's header before each command, which counts them.
func viscaUDP(b *box, packet []byte) [][]byte {
	if shownHex(packet) == "02 00 00 01 00 00 00 00 01" {
		b.told["next"] = "\x01"
		return [][]byte{{2, 1, 0, 1, 0, 0, 0, 0, 1}}
	}
	if len(packet) < 9 || int(packet[3]) != len(packet)-8 {
		return nil
	}
	if string(packet[7]) != b.told["next"] {
		return [][]byte{{2, 1, 0, 2, 0, 0, 0, packet[7], 0x0F, 0x01}}
	}
	b.told["next"] = string(packet[7] + 1)
	var out [][]byte
	for _, reply := range b.visca(packet[8:]) {
		out = append(out, append([]byte{1, 0x11, 0, byte(len(reply)), 0, 0, 0, packet[7]}, reply...))
	}
	return out
}

// hyperDeck is a HyperDeck by Blackmagic's "HyperDeck Ethernet Protocol".
func hyperDeck(b *box, c net.Conn) {
	put := func(text string) { _, _ = io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n") }
	b.mu.Lock()
	put("500 connection info:\nprotocol version: 1.11\nmodel: HyperDeck Studio HD Plus\n")
	b.mu.Unlock()
	b.handle(c, bufio.ScanLines, func(text string) {
		switch text {
		case "record":
			b.start()
			put("200 ok")
		case "stop":
			b.stop()
			put("200 ok")
		case "transport info":
			status := "preview"
			if b.phase == on || b.phase == stopping {
				status = "record"
			}
			put("208 transport info:\nstatus: " + status + "\nspeed: 0\nslot id: 1\n")
		default:
			put("103 unsupported")
		}
	})
}

// ownBox is a box that nobody has made: it wants a login with an answer to a challenge, is kept,
// and says by itself when it changes.
const ownBox = `# own box
password: ` + password + `
connection: kept
line_end: crlf
vars: {proof: "{nonce}:{password}"}
connect:
  - expect: '^HELLO (?P<nonce>\w+)$'
  - {send: "LOGIN {proof|md5hex}", expect: '^OK$', permanent: '^DENIED'}
start: {send: "START {stream} {publish}", expect: '^OK$', already: '^ALREADY', busy: '^BUSY', refuse: '^ERR (.*)'}
stop: {send: STOP, expect: '^OK$', already: '^ALREADY', refuse: '^ERR (.*)'}
facts: {state: '^STATE (\w+)', why: '^STATE failed (.*)', fps: '^FPS (\S+)'}
status:
  send: STATE?
  expect: '^STATE '
  live: facts.state == "on"
  stopped: facts.state == "off"
  starting: facts.state == "starting"
  stopping: facts.state == "stopping"
  failed: facts.state == "failed"
  error: facts.why
  fps: facts.fps`

func ownClient(b *box, c net.Conn) {
	put := func(format string, args ...any) { _, _ = fmt.Fprintf(c, format+"\r\n", args...) }
	b.mu.Lock()
	b.changed = func(b *box) { b.say("STATE " + string(b.phase) + "\r\n") }
	put("HELLO n0nce")
	b.mu.Unlock()
	in := false
	b.handle(c, bufio.ScanLines, func(text string) {
		command, rest, _ := strings.Cut(strings.TrimSuffix(text, "\r"), " ")
		switch {
		case command == "LOGIN" && rest == fmt.Sprintf("%x", md5.Sum([]byte("n0nce:"+password))):
			in = true
			put("OK")
		case !in:
			put("DENIED %s", rest)
		case command == "START" && strings.HasPrefix(rest, "lobby rtmp"):
			if b.start() {
				put("ALREADY")
				return
			}
			put("OK")
		case command == "STOP":
			if b.stop() {
				put("ALREADY")
				return
			}
			put("OK")
		case command == "STATE?":
			put("FPS 29.97")
			put("STATE %s%s", b.phase, map[phase]string{failed: " no signal for " + password}[b.phase])
		default:
			put("ERR %s is unknown", text)
		}
	})
}

// dumpingBox is a box without a question: it tells its state at the beginning of each connection.
const dumpingBox = `# dumping box
connection: call
connect: {expect: '^END$'}
start: {send: "on", expect: '^done$'}
stop: {send: "off", expect: '^done$'}
facts: {state: '^state (\w+)$'}
status:
  live: facts.state == "on"
  stopped: facts.state == "off"
  starting: facts.state == "starting"
  stopping: facts.state == "stopping"
  failed: facts.state == "failed"`

// tellingBox is the same box for a connection that is kept: it tells each change.
var tellingBox = strings.NewReplacer("dumping", "telling", "connection: call", "connection: kept").Replace(dumpingBox)

func tell(b *box) { b.say("state " + string(b.phase) + "\n") }

func dumpingClient(b *box, c net.Conn) {
	b.mu.Lock()
	if !b.frozen {
		_, _ = fmt.Fprintf(c, "state %s\nEND\n", b.phase)
	}
	b.mu.Unlock()
	b.handle(c, bufio.ScanLines, func(text string) {
		if text == "on" {
			b.start()
		} else {
			b.stop()
		}
		_, _ = io.WriteString(c, "done\n")
	})
}
