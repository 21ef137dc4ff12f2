package demo

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

//go:embed demopage
var demoFiles embed.FS

// page is the demo's own part of the admin side: what a viewer sees, and buttons for what can
// happen.
func (d *demo) page() http.Handler {
	mux := http.NewServeMux()
	for path, file := range map[string]string{
		"/demo/{$}": "demo.html", "/demo/demo.js": "demo.js", "/demo/demo.css": "demo.css",
	} {
		mux.HandleFunc("GET "+path,
			func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, demoFiles, "demopage/"+file) })
	}
	mux.HandleFunc("GET /demo/state", d.serveState)
	mux.HandleFunc("POST /demo/{act}", d.serveAct)
	mux.HandleFunc("POST /demo/{act}/{stream}", d.serveAct)
	return mux
}

// seat is what viewers of one stream see.
type seat struct {
	Name     string `json:"name"`
	Live     bool   `json:"live"`
	Watching int    `json:"watching"`
	Waiting  int    `json:"waiting"`
	Dark     int    `json:"dark"` // were in when it went off
}

func (d *demo) serveState(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	muted := d.muted
	d.mu.Unlock()
	state := struct {
		Muted bool   `json:"hooks_stopped"`
		Seats []seat `json:"seats"`
	}{Muted: muted}
	for _, name := range demoStreams {
		t := d.sim.Truth(name)
		state.Seats = append(state.Seats, seat{name, t.Live, t.Watching, t.Attempting, t.Inactive})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(state)
}

func (d *demo) serveAct(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("stream")
	if name != "" && !slices.Contains(demoStreams, name) {
		http.Error(w, "no such stream", http.StatusNotFound)
		return
	}
	text, err := d.actOn(r.Context(), r.PathValue("act"), name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"said": text})
}

func (d *demo) actOn(ctx context.Context, act, name string) (string, error) {
	switch act {
	case "watch":
		d.say("you", "open %s", name)
		d.join(name)
		return "you are a viewer of " + name, nil
	case "leave":
		if !d.leave(name) {
			return "", errors.New(name + " has no viewer who could leave")
		}
		return "a viewer has left " + name, nil
	case "kill":
		return d.killEncoder(name)
	case "forge":
		return d.forge(ctx, name)
	case "mute":
		d.mu.Lock()
		d.muted = !d.muted
		muted := d.muted
		d.mu.Unlock()
		d.sim.Mute(muted)
		if muted {
			d.say("you", "stop the platform's hooks; from now on the controller has only its API")
			return "the platform has stopped sending hooks; the controller finds out by asking its API", nil
		}
		d.say("you", "let the platform send hooks again")
		return "the platform sends hooks again", nil
	}
	return "", fmt.Errorf("the page has no button %q", act)
}

// killEncoder kills the stream's FFmpeg as a crash would.
func (d *demo) killEncoder(name string) (string, error) {
	v, _ := d.svc.Stream(controller.JoinID("DEMO", name))
	for _, e := range v.Encoders {
		if e.PID != nil && *e.PID > 0 {
			d.say("you", "kill the encoder of %s (process %d)", name, *e.PID)
			if err := syscall.Kill(*e.PID, syscall.SIGKILL); err != nil {
				return "", fmt.Errorf("kill process %d: %w", *e.PID, err)
			}
			return fmt.Sprintf("process %d was killed; watch the encoder come back", *e.PID), nil
		}
	}
	return "", errors.New("no encoder runs for " + name)
}

// forge sends a hook that is signed with the wrong secret.
func (d *demo) forge(ctx context.Context, name string) (string, error) {
	body := millicast.ViewerMessage(controller.HookAttempt, "DEMO", name, time.Now()).Body()
	wrong := secret.New("bm90LXRoZS1zZWNyZXQtYXQtYWxs")
	req, err := millicast.NewRequest(ctx, "http://"+d.svc.HookAddr.String()+"/hooks/millicast", wrong,
		millicast.ContentJSON, body)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	res.Body.Close()
	d.say("you", "send a forged hook for %s: %s", name, res.Status)
	return "the controller answered " + res.Status, nil
}

// snapshot makes one JPEG of a keyframe.
func snapshot(ctx context.Context, flv []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "flv", "-i", "pipe:0",
		"-frames:v", "1", "-f", "mjpeg", "pipe:1")
	cmd.Stdin = bytes.NewReader(flv)
	return cmd.Output()
}
