package encodertest_test

import (
	"testing"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/fake"
)

// The whole test of a driver, here of the fake one. Which parts of the suite run depends on what
// the harness can do to its box: this one can open it again, and make it impossible to ask.
func ExampleRun() {
	testConformance := func(t *testing.T) { // func TestConformance(t *testing.T), in a driver
		encodertest.Run(t, encodertest.Harness{EchoesRun: true, OneStream: true,
			New: func(t *testing.T) encodertest.Rig {
				dir := t.TempDir()
				open := func() *fake.Encoder {
					e, err := fake.New(fake.Defaults(), encoders.Env{Name: "bench", Dir: dir})
					if err != nil {
						t.Fatal(err)
					}
					return e
				}
				box := open()
				return encodertest.Rig{
					Encoder:     box,
					Reopen:      func(*testing.T) encoders.Encoder { return open() },
					Unreachable: func(*testing.T) { box.SetUnreachable(true) },
				}
			}})
	}
	_ = testConformance
}
