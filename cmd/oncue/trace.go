package main

import (
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/httpapi"
)

// trace shows the requests to a device with an HTTP API and its answers. The driver has masked the
// secrets.
func trace(enc encoders.Encoder, s term.Screen) {
	e, ok := encoders.Driver(enc).(*httpapi.Encoder)
	if !ok {
		return
	}
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
