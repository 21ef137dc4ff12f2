package httpapi

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// Fakes of what runs containers and machines, each written by its documentation.

// docker is Docker's API, as far as one container goes; Podman answers the same.
func docker(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.Method + " " + r.URL.Path {
		case "POST /containers/encoder1/start":
			if b.start() {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		case "POST /containers/encoder1/stop":
			if r.URL.Query().Get("t") != "5" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if b.stop() {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			select { // it answers when the container has ended
			case <-time.After(b.stopDelay):
			case <-r.Context().Done():
			}
			w.WriteHeader(http.StatusNoContent)
		case "GET /containers/encoder1/json":
			p := b.now()
			reply(w, `{"Id":"4fa6e0f0","Name":"/encoder1","State":{"Status":%q,"Running":%t,"Paused":false,`+
				`"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":0,"ExitCode":%d,"Error":"",`+
				`"Health":{"Status":%q,"FailingStreak":0,"Log":[]}}}`,
				pick(p, map[phase]string{off: "exited", failed: "exited", starting: "running", on: "running",
					stopping: "running", failing: "running"}),
				p != off && p != failed, pick(p, map[phase]int{off: 143, failed: 1}),
				pick(p, map[phase]string{starting: "starting", on: "healthy", stopping: "healthy",
					failing: "unhealthy", off: "unhealthy", failed: "unhealthy"}))
		default:
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"message":"No such container: encoder2"}`)
		}
	}
}

func TestEndedContainerSaysWhy(t *testing.T) {
	k := kind{preset: "docker-container", settings: "vars: {container: encoder1}", handler: docker, socket: true}
	rig, b, _ := k.rig(t)
	job := encodertest.NewJob("")
	e := rig.Encoder.(*Encoder)
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Start(within(t, 5*time.Second), job); err != nil {
		t.Fatal(err)
	}
	await(t, e, encoders.StatePublishing)
	b.set(failed)
	s := await(t, e, encoders.StateFailed)
	mustSay(t, s.Error, "the box was found stopped: the container ended with exit code 1")
}

// kubernetes is the API server, as far as one Deployment goes.
func kubernetes(b *box) http.HandlerFunc {
	const root = "/apis/apps/v1/namespaces/default/deployments/encoder"
	var mu sync.Mutex
	generation, observed := 1, 1
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer "+password {
			w.WriteHeader(http.StatusUnauthorized)
			reply(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","code":401}`)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch r.Method + " " + r.URL.Path {
		case "PATCH " + root + "/scale":
			if r.Header.Get("Content-Type") != "application/merge-patch+json" {
				w.WriteHeader(http.StatusUnsupportedMediaType)
				return
			}
			replicas := 0
			switch body := bodyOfRequest(r); body {
			case `{"spec":{"replicas":1}}`:
				replicas = 1
				b.start()
			case `{"spec":{"replicas":0}}`:
				b.stop()
			default:
				w.WriteHeader(http.StatusUnprocessableEntity)
				reply(w, `{"kind":"Status","status":"Failure","message":"not a number","code":422}`)
				return
			}
			generation++
			reply(w, `{"kind":"Scale","apiVersion":"autoscaling/v1","spec":{"replicas":%d},"status":{"replicas":1}}`,
				replicas)
		case "GET " + root:
			p := b.now()
			counts := pick(p, map[phase]string{
				starting: `"replicas":1,"updatedReplicas":1,"unavailableReplicas":1,`,
				on:       `"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1,`,
				stopping: `"terminatingReplicas":1,`,
				failing:  `"replicas":1,"updatedReplicas":1,"unavailableReplicas":1,`,
			})
			if observed < generation { // the controller is a moment late
				counts = `"replicas":1,"readyReplicas":1,`
			}
			reply(w, `{"kind":"Deployment","metadata":{"name":"encoder","generation":%d},"spec":{"replicas":%d},`+
				`"status":{%s"observedGeneration":%d,"conditions":[{"type":"Available","status":"True"}]}}`,
				generation, pick(p, map[phase]int{starting: 1, on: 1, failing: 1}), counts, observed)
			observed = generation
		default:
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"kind":"Status","status":"Failure","message":"deployments.apps \"x\" not found","code":404}`)
		}
	}
}

func transcoder(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+password {
			w.WriteHeader(http.StatusUnauthorized)
			reply(w, `{"status":"error","message":"unauthorized","code":401}`)
			return
		}
		state := pick(b.now(), map[phase]string{off: "Shutdown", starting: "Provisioning", on: "Active",
			stopping: "ShuttingDown", failed: "Error"})
		switch r.Method + " " + r.URL.Path {
		case "PUT /api/transcoders/start/abcd-efgh":
			b.start()
			reply(w, `{"status":"success","data":{"id":"mnop-qrst","transcoderId":"abcd-efgh","status":"Queued"}}`)
		case "PUT /api/transcoders/stop/abcd-efgh":
			b.stop()
			reply(w, `{"status":"success","data":{"id":"mnop-qrst","transcoderId":"abcd-efgh","status":"ShuttingDown"}}`)
		case "GET /api/transcoders/abcd-efgh":
			reply(w, `{"status":"success","data":{"transcoderId":"abcd-efgh","name":"simple","cluster":"phx-1",`+
				`"status":%q}}`, state)
		default:
			w.WriteHeader(http.StatusBadRequest)
			reply(w, `{"status":"fail","data":"transcoder not found"}`)
		}
	}
}

func channel(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !basic(r, "token") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "POST /v2/channels/ch_abc123/start":
			b.start()
			w.WriteHeader(http.StatusNoContent)
		case "POST /v2/channels/ch_abc123/stop":
			b.stop()
			w.WriteHeader(http.StatusNoContent)
		case "GET /v2/channels/ch_abc123":
			reply(w, `{"data":{"id":"ch_abc123","name":"My first channel","status":%q,"timeout":600}}`,
				pick(b.now(), map[phase]string{off: "stopped", starting: "deploying", on: "playing",
					stopping: "stopping", failed: "error"}))
		default:
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"message":"Channel not found"}`)
		}
	}
}
