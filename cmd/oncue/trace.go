package main

import (
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/httpapi"
)

// trace shows what goes to a box with an HTTP API and what it answers. The driver has masked the secrets.
func trace(enc encoders.Encoder, s screen) {
	e, ok := encoders.Driver(enc).(*httpapi.Encoder)
	if !ok {
		return
	}
	e.Trace(func(t httpapi.TraceEntry) {
		s.printf("%s\n", s.paint(cyan, "> "+t.Step+": "+harmless(t.Request)))
		for _, h := range t.Headers {
			s.printf("> %s\n", harmless(h))
		}
		if t.Body != "" {
			s.printf("> %s\n", harmless(t.Body))
		}
		switch {
		case t.Error != "":
			s.printf("%s\n", s.paint(red, "< "+harmless(t.Error)))
		default:
			s.printf("%s\n", s.paint(cyan, "< "+harmless(t.Status)+" after "+t.Took.Round(1e6).String()))
			if t.Answer != "" {
				s.printf("< %s\n", harmless(t.Answer))
			}
		}
	})
}
