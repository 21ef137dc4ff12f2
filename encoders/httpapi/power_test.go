package httpapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// Fakes of what switches power, each written by its documentation.

// shelly is a plug; what is behind it draws 8.9 W when it is on.
func shelly(b *box) http.HandlerFunc {
	guard := digestGuard("SHA-256", "admin", password)
	return func(w http.ResponseWriter, r *http.Request) {
		if !guard(w, r) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		q := r.URL.Query()
		if q.Get("id") != "0" {
			w.WriteHeader(http.StatusInternalServerError)
			reply(w, `{"code":-105,"message":"Argument 'id', value %s not found!"}`, q.Get("id"))
			return
		}
		switch r.URL.Path {
		case "/rpc/Switch.Set":
			was := b.now() != off
			switch q.Get("on") {
			case "true":
				b.start()
			case "false":
				b.set(off)
			default:
				w.WriteHeader(http.StatusInternalServerError)
				reply(w, `{"code":-103,"message":"Missing required argument 'on'!"}`)
				return
			}
			reply(w, `{"was_on":%t}`, was)
		case "/rpc/Switch.GetStatus":
			p := b.now()
			reply(w, `{"id":0,"source":"HTTP_in","output":%t,"apower":%.1f,"voltage":237.5,"current":0.12,`+
				`"aenergy":{"total":6.5,"by_minute":[0,0,0],"minute_ts":1626935779},"temperature":{"tC":42.9,"tF":109.2}}`,
				p == starting || p == on, pick(p, map[phase]float64{starting: 0.4, on: 8.9}))
		default:
			w.WriteHeader(http.StatusNotFound)
			reply(w, `{"code":404,"message":"No handler for %s"}`, r.URL.Path)
		}
	}
}

func tasmota(b *box) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("user") != "admin" || q.Get("password") != password {
			w.WriteHeader(http.StatusUnauthorized)
			reply(w, `{"WARNING":"Need user=<username>&password=<password>"}`)
			return
		}
		p := b.now()
		switch r.URL.Path + " " + q.Get("cmnd") {
		case "/cm Power2 On":
			b.start()
			p = on // the relay has switched, whatever is behind it
		case "/cm Power2 Off":
			b.stop()
			p = off
		case "/cm Power2":
		default:
			reply(w, `{"Command":"Unknown"}`)
			return
		}
		reply(w, `{"POWER2":%q}`, map[bool]string{true: "ON", false: "OFF"}[p == on || p == stopping])
	}
}

func panasonic(b *box) http.HandlerFunc {
	guard := digestGuard("MD5", "admin", password)
	return func(w http.ResponseWriter, r *http.Request) {
		if !guard(w, r) {
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		switch r.URL.RequestURI() {
		case "/cgi-bin/aw_ptz?cmd=%23O1&res=1":
			b.start()
			reply(w, "p1")
		case "/cgi-bin/aw_ptz?cmd=%23O0&res=1":
			b.stop()
			reply(w, "p0")
		case "/cgi-bin/aw_ptz?cmd=%23O&res=1":
			reply(w, "%s", pick(b.now(), map[phase]string{off: "p0", starting: "p3", on: "p1", stopping: "p1"}))
		default:
			reply(w, "eR1")
		}
	}
}

// TestPowerDrawn wants a plug that is on to wait for what is behind it.
func TestPowerDrawn(t *testing.T) {
	for settings, want := range map[string]encoders.State{
		"":                    encoders.StatePublishing,
		"vars: {watts: 5}":    encoders.StatePublishing,
		"vars: {watts: 20.5}": encoders.StateStarting,
	} {
		k := kind{preset: "shelly-gen2", settings: settings + "\npassword: " + password, handler: shelly}
		rig, b, _ := k.rig(t)
		e := rig.Encoder.(*Encoder)
		b.startDelay = time.Nanosecond
		if err := e.Start(within(t, 5*time.Second), encodertest.NewJob("")); err != nil {
			t.Fatal(err)
		}
		if s := await(t, e, want); s.Error != "" {
			t.Errorf("with %q it is %+v", settings, s)
		}
		_ = e.Close()
	}
	k := kind{preset: "shelly-gen2", settings: "vars: {watts: 5}", handler: func(*box) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { reply(w, `{"id":0,"output":true}`) }
	}}
	rig, _, _ := k.rig(t)
	e := rig.Encoder.(*Encoder)
	t.Cleanup(func() { _ = e.Close() })
	s := await(t, e, encoders.StateUnknown)
	mustSay(t, s.Error, "vars.watts is set, and this model does not measure power")
}
