package httpapi

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/oncue/oncue/encoders/encodertest"
)

// kinds are the fake devices, each written by its documentation.
var kinds = []kind{
	{settings: ownBox, handler: ownHandler, dies: true, hand: true},
	{preset: "aja-helo", settings: "password: " + password, handler: helo, dies: true, hand: true},
	{preset: "epiphan-pearl", settings: "username: admin\npassword: " + password, handler: pearl, harmless: true,
		dies: true, hand: true},
	{preset: "epiphan-pearl", settings: "vars: {publisher: 0}\nusername: admin\npassword: " + password, handler: pearl,
		harmless: true, dies: true, hand: true},
	{preset: "magewell-ultra", settings: "password: " + password, handler: magewell, hand: true},
	{preset: "vmix", handler: vmix, hand: true},
	{preset: "blackmagic", handler: blackmagic, hand: true},
	{preset: "datarhei-core", settings: "vars: {process: cam}\nusername: admin\npassword: " + password, handler: core,
		harmless: true, hand: true},
	{preset: "mediamtx-forward", settings: "vars: {path: cam}", handler: mediamtx, harmless: true, hand: true},
	{preset: "gstd", settings: "vars: {pipeline: cam}", handler: gstd, harmless: true, dies: true},
	{preset: "gstd", settings: "vars: {pipeline: cam, description: 'videotestsrc ! rtmpsink location={publish}'}",
		handler: gstd, harmless: true, dies: true},
	{preset: "vlc", settings: "password: " + password, handler: vlc, harmless: true, dies: true},
	{preset: "haivision-makito-x4", settings: "min_gap: 50ms\nvars: {stream_id: 3}\nusername: admin\npassword: " +
		password, handler: makito, dies: true, hand: true},
	{preset: "kiloview-e", settings: "username: admin\npassword: " + password, handler: kiloviewE, harmless: true,
		hand: true},
	{preset: "kiloview-e3", settings: "vars: {stream_id: 7}\nusername: admin\npassword: " + password,
		handler: kiloviewE3, harmless: true, hand: true},
	{preset: "docker-container", settings: "vars: {container: encoder1}", handler: docker, harmless: true, dies: true,
		socket: true},
	{preset: "podman-container", settings: "vars: {container: encoder1}", handler: docker, harmless: true, dies: true,
		socket: true},
	{preset: "kubernetes-scale", settings: "vars: {deployment: encoder}\npassword: " + password, handler: kubernetes,
		harmless: true, hand: true},
	{preset: "shelly-gen2", settings: "vars: {watts: 5}\npassword: " + password, handler: shelly, harmless: true,
		hand: true},
	{preset: "tasmota", settings: "vars: {relay: 2}\npassword: " + password, handler: tasmota, harmless: true, hand: true},
	{preset: "panasonic-aw", settings: "username: admin\npassword: " + password, handler: panasonic, harmless: true,
		hand: true},
	{preset: "millicast-transcoder", settings: "vars: {transcoder: abcd-efgh}\npassword: " + password +
		"\nsettle: 10s", handler: transcoder, dies: true},
	{preset: "optiview-live-channel", settings: "vars: {channel: ch_abc123}\nusername: token\npassword: " + password +
		"\nsettle: 10s", handler: channel, dies: true, hand: true},
	{preset: "aws-ec2", settings: awsSettings + "vars: {region: eu-central-1, instance: i-1234567890abcdef0}",
		handler: ec2, harmless: true, hand: true},
	{preset: "aws-medialive", settings: awsSettings + "vars: {region: eu-central-1, channel: 1234567}",
		handler: medialive, hand: true},
	{preset: "wowza-target", settings: "vars: {application: live, entry: millicast}\nusername: admin\npassword: " +
		password, handler: wowza, harmless: true, hand: true},
}

const awsSettings = "username: AKIDEXAMPLE\npassword: " + password + "\nsettle: 10s\n"

func TestDevices(t *testing.T) {
	for _, k := range kinds {
		name := k.preset
		if name == "" {
			name = "own box"
		}
		t.Run(name, func(t *testing.T) {
			encodertest.Run(t, encodertest.Harness{
				EchoesRun: true, OneStream: true, AtOnce: true,
				New: func(t *testing.T) encodertest.Rig { rig, _, _ := k.rig(t); return rig },
			})
		})
	}
}

// ownBox is the device of the example configuration, with a rule for failures.
const ownBox = `
start:  {method: POST, path: /api/start, json: {stream: "{stream}"}}
stop:   {method: POST, path: /api/stop}
status:
  method: GET
  path: /api/state
  live: 'body.state == "on"'
  stopped: 'body.state == "off"'
  starting: 'body.state == "starting"'
  stopping: 'body.state == "stopping"'
  failed: 'body.state == "failed"'
  error: body.why
`

func ownHandler(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "POST /api/start":
			if bodyOfRequest(r) != `{"stream":"lobby"}` {
				http.Error(w, "bad body", http.StatusBadRequest)
				return
			}
			b.start()
		case "POST /api/stop":
			b.stop()
		case "GET /api/state":
			p := b.now()
			reply(w, `{"state":%q,"why":%q}`, p, pick(p, map[phase]string{failed: "no signal for " + password}))
		default:
			http.NotFound(w, r)
		}
	}
}

func helo(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/authenticator/login" {
			if r.Method != http.MethodPost || r.FormValue("password_provided") != password {
				reply(w, `{"login":"failed"}`)
				return
			}
			w.Header().Set("Set-Cookie", "session="+b.logIn()+"; path=/")
			w.Header().Set("Content-Type", "text/html")
			reply(w, `{"login":"success"}`)
			return
		}
		session, err := r.Cookie("session")
		if err != nil || !b.knows(session.Value) || r.URL.Path != "/config" {
			http.NotFound(w, r)
			return
		}
		q := r.URL.Query()
		switch q.Get("action") + " " + q.Get("paramid") + " " + q.Get("value") {
		case "set eParamID_ReplicatorCommand 3":
			b.start()
		case "set eParamID_ReplicatorCommand 4":
			b.stop()
		case "get eParamID_ReplicatorStreamState ":
			state := pick(b.now(), map[phase][2]string{
				off: {"1", "eRRSIdle"}, starting: {"1", "eRRSIdle"}, on: {"2", "eRRSStreaming"},
				stopping: {"2", "eRRSStreaming"},
				failed:   {"3", "eRRSFailingInIdle"}, failing: {"4", "eRRSFailingInStream"},
			})
			reply(w, `{"paramid":"2097225226","name":"eParamID_ReplicatorStreamState","value":%q,"value_name":%q}`,
				state[0], state[1])
			return
		default:
			http.NotFound(w, r)
			return
		}
		reply(w, `{"paramid":"2097225225","name":"eParamID_ReplicatorCommand","value":%q}`, q.Get("value"))
	}
}

func pearl(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !basic(r, "admin") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		rest, ok := strings.CutPrefix(r.URL.Path, "/api/v2.0/channels/1/publishers/")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"status":"error","message":"no such channel"}`)
			return
		}
		switch r.Method + " " + rest {
		case "POST control/start", "POST 0/control/start":
			b.start()
			reply(w, `{"status":"ok"}`)
		case "POST control/stop", "POST 0/control/stop":
			b.stop()
			reply(w, `{"status":"ok"}`)
		case "GET status":
			p := b.now()
			state := pick(p, map[phase]string{off: "stopped", starting: "starting", on: "started", stopping: "started",
				failed: "error", failing: "error"})
			reply(w, `{"status":"ok","result":[{"id":"0","type":"rtmp","status":{"is_configured":true,
				"started":%t,"state":%q,"description":%q,"duration":49}},
				{"id":"1","type":"srt","status":{"is_configured":false,"started":false,"state":"stopped"}}]}`,
				p == on || p == starting || p == failing, state,
				pick(p, map[phase]string{failed: "connection refused", failing: "connection refused"}))
		default:
			http.NotFound(w, r)
		}
	}
}

func magewell(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/usapi" {
			http.NotFound(w, r)
			return
		}
		if q.Get("method") == "login" {
			if q.Get("id") != "Admin" || q.Get("pass") != fmt.Sprintf("%x", md5.Sum([]byte(password))) {
				reply(w, `{"result":-1}`)
				return
			}
			w.Header().Set("Set-Cookie", "sid="+b.logIn())
			reply(w, `{"result":0}`)
			return
		}
		if session, err := r.Cookie("sid"); err != nil || !b.knows(session.Value) {
			reply(w, `{"result":-17}`)
			return
		}
		switch q.Get("method") {
		case "start-live":
			reply(w, `{"result":%d}`, map[bool]int{false: 0, true: 1}[b.start()])
		case "stop-live":
			reply(w, `{"result":%d}`, map[bool]int{false: 0, true: 1}[b.stop()])
		case "get-status":
			p := b.now()
			reply(w, `{"result":0,"cur-status":%d,"live-status":{"result":%d,"cur-bps":3000000}}`,
				pick(p, map[phase]int{off: 0x20, starting: 0x24, on: 0x26, stopping: 0x26, failing: 0x24}),
				pick(p, map[phase]int{starting: 23, on: 22, stopping: 22, failing: 30}))
		default:
			reply(w, `{"result":-10}`)
		}
	}
}

func vmix(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/" {
			http.NotFound(w, r)
			return
		}
		switch r.URL.Query().Get("Function") {
		case "StartStreaming":
			b.start()
			reply(w, "Function completed successfully.")
		case "StopStreaming":
			b.stop()
			reply(w, "Function completed successfully.")
		case "":
			p := b.now()
			word := map[bool]string{true: "True", false: "False"}[p == on || p == stopping]
			w.Header().Set("Content-Type", "text/xml")
			reply(w, `<vmix><version>26.0.0.44</version><recording>False</recording>`+
				`<streaming channel1="%s" channel2="False">%s</streaming></vmix>`, word, word)
		default:
			http.Error(w, "Function not found", http.StatusInternalServerError)
		}
	}
}

func blackmagic(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "PUT /control/api/v1/livestreams/0/start":
			if r.ContentLength != 0 || r.Header.Get("Content-Length") != "0" {
				<-r.Context().Done() // as the real one does
				return
			}
			b.start()
			w.WriteHeader(http.StatusNoContent)
		case "PUT /control/api/v1/livestreams/0/stop":
			b.stop()
			w.WriteHeader(http.StatusNoContent)
		case "GET /control/api/v1/livestreams/0":
			reply(w, `{"status":%q,"bitrate":3000000,"effectiveVideoFormat":"1080p25","duration":0,"cache":0}`,
				pick(b.now(), map[phase]string{
					off: "Idle", starting: "Connecting", on: "Streaming", stopping: "Flushing", failing: "Interrupted",
				}))
		default:
			http.NotFound(w, r)
		}
	}
}

func core(b *box) http.HandlerFunc {
	frames := 0
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/login" {
			if !has(bodyOfRequest(r), `"username":"admin"`, `"password":"`+password+`"`) {
				w.WriteHeader(http.StatusForbidden)
				reply(w, `{"code":403,"message":"Invalid authorization credentials"}`)
				return
			}
			id := b.logIn()
			reply(w, `{"access_token":%q,"refresh_token":"r"}`, id)
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !b.knows(token) {
			w.WriteHeader(http.StatusUnauthorized)
			reply(w, `{"code":401,"message":"invalid or expired jwt"}`)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "PUT /api/v3/process/cam/command":
			var c struct{ Command string }
			_ = json.Unmarshal([]byte(bodyOfRequest(r)), &c)
			switch c.Command {
			case "start":
				b.start()
			case "stop":
				b.stop()
			}
			reply(w, `"OK"`)
		case "GET /api/v3/process/cam/state":
			state := pick(b.now(), map[phase][2]string{
				off: {"stop", "finished"}, starting: {"start", "starting"}, on: {"start", "running"},
				stopping: {"stop", "finishing"}, failing: {"start", "failed"},
			})
			frames++
			reply(w, `{"order":%q,"exec":%q,"runtime_seconds":5,"reconnect_seconds":-1,"last_logline":"frame",`+
				`"progress":{"frame":%d,"fps":25,"drop":0}}`, state[0], state[1], frames)
		default:
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"code":404,"message":"Unknown process ID"}`)
		}
	}
}

func mediamtx(b *box) http.HandlerFunc {
	sent := 0
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "PATCH /v3/config/paths/patch/cam":
			switch body := bodyOfRequest(r); {
			case body == `{"forward":[{"dest":"rtmps://127.0.0.1:1/v2/pub#lobby?token=`+password+`"}]}`:
				b.start()
			case body == `{"forward":[]}`:
				b.stop()
			default:
				w.WriteHeader(http.StatusBadRequest)
				reply(w, `{"status":"error","error":"invalid JSON"}`)
				return
			}
			reply(w, `{"status":"ok"}`)
		case "GET /v3/paths/forward/list":
			p := b.now()
			if p == off {
				reply(w, `{"itemCount":0,"pageCount":0,"items":[]}`)
				return
			}
			sent += 1000
			reply(w, `{"itemCount":1,"pageCount":1,"items":[{"id":"x","pos":0,`+
				`"conf":{"dest":"rtmps://127.0.0.1:1/v2/pub/lobby?token=%s"},"state":%q,"lastError":%q,`+
				`"outboundBytes":%d}]}`, password,
				pick(p, map[phase]string{starting: "idle", on: "forwarding", stopping: "forwarding", failing: "error"}),
				pick(p, map[phase]string{failing: "dial tcp: connection refused"}), sent)
		default:
			http.NotFound(w, r)
		}
	}
}

func gstd(b *box) http.HandlerFunc {
	var created atomic.Bool
	return func(w http.ResponseWriter, r *http.Request) {
		value := ""
		if r.Method == http.MethodPost && r.URL.Path == "/pipelines" {
			q := r.URL.Query()
			if q.Get("name") != "cam" ||
				q.Get("description") != "videotestsrc ! rtmpsink location=rtmps://127.0.0.1:1/v2/pub/lobby?token="+password {
				w.WriteHeader(http.StatusBadRequest)
				reply(w, `{"code":6,"description":"Bad description","response":null}`)
				return
			}
			if !created.CompareAndSwap(false, true) {
				w.WriteHeader(http.StatusConflict)
				reply(w, `{"code":3,"description":"Resource already exists","response":null}`)
				return
			}
			reply(w, `{"code":0,"description":"Success","response":null}`)
			return
		}
		switch r.Method + " " + r.URL.RequestURI() {
		case "PUT /pipelines/cam/state?name=playing":
			b.start()
			value = "playing"
		case "PUT /pipelines/cam/state?name=null":
			b.stop()
			value = "null"
		case "GET /pipelines/cam/state":
			value = pick(b.now(), map[phase]string{off: "null", starting: "ready", on: "playing", stopping: "playing",
				failing: "paused", failed: "null"})
		default:
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"code":1,"description":"No such resource","response":null}`)
			return
		}
		reply(w, `{"code":0,"description":"Success","response":{"name":"state","value":%q,"param":{}}}`, value)
	}
}

func vlc(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !basic(r, "") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.RequestURI() {
		case "/requests/status.json?command=pl_play":
			b.start()
		case "/requests/status.json?command=pl_stop":
			b.stop()
		case "/requests/status.json":
		default:
			http.NotFound(w, r)
			return
		}
		reply(w, `{"fullscreen":0,"state":%q,"time":3}`, pick(b.now(), map[phase]string{
			off: "stopped", failed: "stopped", starting: "stopped", on: "playing", stopping: "playing",
			failing: "paused",
		}))
	}
}

func makito(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/apis/authentication" {
			if !has(bodyOfRequest(r), `"username":"admin"`, `"password":"`+password+`"`) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Set-Cookie", "SessionID="+b.logIn()+"; Path=/; Secure; HttpOnly")
			reply(w, `{}`)
			return
		}
		if session, err := r.Cookie("SessionID"); err != nil || !b.knows(session.Value) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "PUT /apis/streams/3/start":
			b.start()
		case "PUT /apis/streams/3/stop":
			b.stop()
		case "GET /apis/streams":
			reply(w, `{"data":[{"info":{"id":1},"stats":{"state":1}},{"info":{"id":3},"stats":{"state":%d,`+
				`"bitrate":3000}}]}`, pick(b.now(), map[phase]int{
				off: 0, starting: 3, on: 1, stopping: 1, failing: 9, failed: 2,
			}))
		default:
			http.NotFound(w, r)
		}
	}
}

func kiloviewE(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !basic(r, "admin") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		q := r.URL.Query()
		switch r.Method + " " + r.URL.Path {
		case "POST /api/V1/setStreamService.lua":
			if q.Get("Stream") != "main" || q.Get("ID") != "Dynamic_services[0]" || q.Get("Type") != "Rtmp" {
				reply(w, `{"Result":400}`)
				return
			}
			switch q.Get("Rtmp.enabled") {
			case "1":
				b.start()
			case "0":
				b.stop()
			}
			reply(w, `{"Result":200}`)
		case "GET /api/V1/getStreamService.lua":
			p := b.now()
			reply(w, `{"Result":200,"Data":{"ServiceStatus":[{"ID":"Rtsp","Type":"Rtsp_server","Enable":1},`+
				`{"ID":"Dynamic_services[0]","Type":"Rtmp","Enable":%d,"Status":1,"URL":"rtmp://x/y"}]}}`,
				map[bool]int{true: 1, false: 0}[p == on || p == stopping])
		default:
			http.NotFound(w, r)
		}
	}
}

func kiloviewE3(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/systemctrl/users/login" {
			if !has(bodyOfRequest(r), `"password":"`+password+`"`) {
				reply(w, `{"result":"error","msg":"wrong password"}`)
				return
			}
			reply(w, `{"result":"ok","data":{"token":%q,"alias":"admin"}}`, b.logIn())
			return
		}
		if !b.knows(r.Header.Get("Authorization")) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "POST /api/streamer/hdmi/stream/enable":
			switch body := bodyOfRequest(r); body {
			case `{"enable":true,"id":7}`, `{"enable":true,"id":"7"}`:
				b.start()
			case `{"enable":false,"id":7}`, `{"enable":false,"id":"7"}`:
				b.stop()
			default:
				reply(w, `{"result":"error","msg":"no such stream"}`)
				return
			}
			reply(w, `{"result":"ok"}`)
		case "GET /api/streamer/hdmi/stream/list":
			p := b.now()
			reply(w, `{"result":"ok","data":[{"id":7,"name":"a","type":"rtmp","enable":%t}]}`, p == on || p == stopping)
		default:
			http.NotFound(w, r)
		}
	}
}

func wowza(b *box) http.HandlerFunc {
	const root = "/v2/servers/_defaultServer_/vhosts/_defaultVHost_/applications/live/pushpublish/mapentries"
	guard := digestGuard("MD5", "admin", password)
	return func(w http.ResponseWriter, r *http.Request) {
		if !guard(w, r) {
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "PUT " + root + "/millicast/actions/enable":
			b.start()
		case "PUT " + root + "/millicast/actions/disable":
			b.stop()
		case "GET " + root:
			p := b.now()
			reply(w, `{"serverName":"_defaultServer_","mapEntries":[{"entryName":"other","enabled":true},`+
				`{"entryName":"millicast","enabled":%t}]}`, p == on || p == stopping)
			return
		default:
			http.NotFound(w, r)
			return
		}
		reply(w, `{"success":true,"message":"done"}`)
	}
}
