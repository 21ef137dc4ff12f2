package exec

import (
	"syscall"
	"testing"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// conforms runs the conformance suite with a program that publishes to {publish}.
func conforms(t *testing.T, s Settings) {
	encodertest.Run(t, encodertest.Harness{EchoesRun: true, OneStream: true,
		New: func(t *testing.T) encodertest.Rig {
			box, dir := newSink(t), t.TempDir()
			e := openIn(t, s, dir)
			return encodertest.Rig{
				Encoder: e, Job: box.job(), Copies: box.copies,
				Reopen: func(t *testing.T) encoders.Encoder { return openIn(t, s, dir) },
				Die: func(t *testing.T) {
					s, _ := e.now()
					if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
						t.Fatal(err)
					}
				},
			}
		}})
}

func TestConformance(t *testing.T) { conforms(t, ffmpeg(t)) }
