package obs

import (
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

func TestConformance(t *testing.T) {
	for name, settings := range map[string]Settings{
		"own settings": {},
		"set service":  {SetService: setAll, Profile: "other", Scene: "other"},
		"set key":      {SetService: setKey},
	} {
		t.Run(name, func(t *testing.T) {
			encodertest.Run(t, encodertest.Harness{
				New:       func(t *testing.T) encodertest.Rig { return conformanceRig(t, settings) },
				EchoesRun: true,
				OneStream: true,
			})
		})
	}
}

func conformanceRig(t *testing.T, s Settings) encodertest.Rig {
	server := obstest.NewServer(t, obstest.Settings{Password: encodertest.Canary, StartTakes: 30 * time.Millisecond,
		StopTakes: 20 * time.Millisecond, Closes: 20 * time.Millisecond})
	s.Addr, s.Password, s.StallTimeout = server.Address, settingsFor(server).Password, 10*time.Second
	dir := t.TempDir()
	open := func(t *testing.T) encoders.Encoder { return newRigIn(t, dir, s, fast()).Encoder }
	return encodertest.Rig{
		Encoder: open(t),
		Copies: func() int {
			if server.Active() {
				return 1
			}
			return 0
		},
		Reopen:      open,
		Die:         func(*testing.T) { server.Die() },
		Unreachable: func(*testing.T) { server.Crash() },
		Freeze:      func(t *testing.T) { server.Freeze(); t.Cleanup(server.Thaw) },
		Press: func(_ *testing.T, _ encoders.Job, on bool) {
			if on {
				server.PressStart()
			} else {
				server.PressStop()
			}
		},
	}
}
