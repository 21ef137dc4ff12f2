package httpapi

import (
	"net/http"
	"net/url"
	"strings"
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

// awsGuard refuses what is not signed for the service: it signs the request anew and compares.
func awsGuard(w http.ResponseWriter, r *http.Request, service string) (body string, ok bool) {
	body = bodyOfRequest(r)
	again := &http.Request{Method: r.Method, Host: r.Host, URL: r.URL, Header: http.Header{}}
	_, names, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	for _, name := range strings.Split(names, ";") {
		if values := r.Header.Values(name); len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err == nil && time.Since(at).Abs() < 5*time.Minute {
		signer := sigv4{"AKIDEXAMPLE", password, "", "eu-central-1", service}
		signer.sign(again, r.URL.EscapedPath(), []byte(body), at)
	}
	return body, again.Header.Get("Authorization") == r.Header.Get("Authorization") && len(again.Header) > 1
}

func ec2(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, code, message string) {
			w.WriteHeader(status)
			reply(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<Response><Errors><Error><Code>%s</Code>"+
				`<Message>%s</Message></Error></Errors><RequestID>ea966190</RequestID></Response>`, code, message)
		}
		body, ok := awsGuard(w, r, "ec2")
		if !ok {
			refuse(http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials")
			return
		}
		form, _ := url.ParseQuery(body)
		if r.Method != http.MethodPost || form.Get("Version") != "2016-11-15" ||
			form.Get("InstanceId.1") != "i-1234567890abcdef0" {
			refuse(http.StatusBadRequest, "InvalidInstanceID.NotFound", "The instance ID does not exist")
			return
		}
		const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n<%[1]sResponse " +
			`xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>59dbff89</requestId>`
		switch action := form.Get("Action"); action {
		case "StartInstances":
			if b.now() == stopping {
				refuse(http.StatusBadRequest, "IncorrectInstanceState", "The instance cannot be started from this state")
				return
			}
			b.start()
			reply(w, head+`<instancesSet><item><instanceId>i-1234567890abcdef0</instanceId><currentState><code>0</code>`+
				`<name>pending</name></currentState></item></instancesSet></%[1]sResponse>`, action)
		case "StopInstances":
			b.stop()
			reply(w, head+`<instancesSet><item><instanceId>i-1234567890abcdef0</instanceId><currentState><code>64</code>`+
				`<name>stopping</name></currentState></item></instancesSet></%[1]sResponse>`, action)
		case "DescribeInstances":
			reply(w, head+`<reservationSet><item><instancesSet><item><instanceId>i-1234567890abcdef0</instanceId>`+
				`<instanceState><code>16</code><name>%[2]s</name></instanceState><monitoring><state>disabled</state>`+
				`</monitoring></item></instancesSet></item></reservationSet></%[1]sResponse>`, action,
				pick(b.now(), map[phase]string{off: "stopped", starting: "pending", on: "running", stopping: "stopping"}))
		default:
			refuse(http.StatusBadRequest, "InvalidAction", "The action is not valid for this web service")
		}
	}
}

func medialive(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, ok := awsGuard(w, r, "medialive"); !ok {
			w.WriteHeader(http.StatusForbidden)
			reply(w, `{"message":"The security token included in the request is invalid."}`)
			return
		}
		p := b.now()
		switch r.Method + " " + r.URL.Path {
		case "POST /prod/channels/1234567/start":
			if p != off {
				w.WriteHeader(http.StatusConflict)
				reply(w, `{"message":"The channel is not idle"}`)
				return
			}
			b.start()
		case "POST /prod/channels/1234567/stop":
			if p != on && p != failing {
				w.WriteHeader(http.StatusConflict)
				reply(w, `{"message":"The channel is not running"}`)
				return
			}
			b.stop()
		case "GET /prod/channels/1234567":
		default:
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"message":"Channel not found"}`)
			return
		}
		reply(w, `{"arn":"arn:aws:medialive:eu-central-1:1:channel:1234567","id":"1234567","state":%q,`+
			`"pipelinesRunningCount":1}`, pick(b.now(), map[phase]string{off: "IDLE", starting: "STARTING", on: "RUNNING",
			stopping: "STOPPING", failing: "RECOVERING"}))
	}
}
