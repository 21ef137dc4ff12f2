package main

import (
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/httpapi"
	"github.com/oncue/oncue/encoders/tcp"
)

// trace shows what goes to a device and what comes from it. The driver has masked the secrets.
func trace(enc encoders.Encoder, s term.Screen) {
	switch e := encoders.Driver(enc).(type) {
	case *httpapi.Encoder:
		traceRequests(e, s)
	case *tcp.Encoder:
		e.Trace(func(t tcp.TraceLine) {
			color, arrow := term.Style(""), "< "
			if t.Sent {
				color, arrow = term.Cyan, "> "
			}
			s.Printf("%s\n", s.Paint(color, arrow+t.Step+": "+term.Harmless(t.Text)))
		})
	}
}

func traceRequests(e *httpapi.Encoder, s term.Screen) {
	e.Trace(func(t httpapi.TraceEntry) {
		s.Printf("%s\n", s.Paint(term.Cyan, "> "+t.Step+": "+term.Harmless(t.Request)))
		for _, h := range t.Headers {
			s.Printf("> %s\n", term.Harmless(h))
		}
		if t.Body != "" {
			s.Printf("> %s\n", term.Harmless(t.Body))
		}
		switch {
		case t.Error != "":
			s.Printf("%s\n", s.Paint(term.Red, "< "+term.Harmless(t.Error)))
		default:
			s.Printf("%s\n", s.Paint(term.Cyan, "< "+term.Harmless(t.Status)+" after "+t.Took.Round(1e6).String()))
			if t.Answer != "" {
				s.Printf("< %s\n", term.Harmless(t.Answer))
			}
		}
	})
}
