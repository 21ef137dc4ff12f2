package daemon

import (
	"fmt"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/exec"
	"github.com/oncue/oncue/encoders/fake"
	"github.com/oncue/oncue/encoders/ffmpeg"
	"github.com/oncue/oncue/encoders/httpapi"
	"github.com/oncue/oncue/encoders/obs"
	"github.com/oncue/oncue/encoders/systemd"
	"github.com/oncue/oncue/encoders/tcp"
	"github.com/oncue/oncue/encoders/wol"
)

// driver is one kind of encoder that the configuration can name.
type driver struct {
	settings func() any // a pointer to the driver's settings, defaults filled in
	open     func(settings any, env encoders.Env) (encoders.Encoder, error)
	byHand   bool // people may switch such a device on and off by hand: it is watched while it is idle, too

	// orphan returns settings that find and stop what an encoder left in its folder, when its own
	// settings are gone; nil: only its own can.
	orphan func() any
}

// drivers is the registry: a new driver is a line here and a folder in encoders/.
var drivers = map[string]driver{
	"ffmpeg": of(ffmpeg.Defaults, ffmpeg.New, false).orphans(func() any {
		s := ffmpeg.Defaults()
		s.Input = "testsrc"
		return &s
	}),
	"obs": of(obs.Defaults, obs.New, true),
	"exec": of(exec.Defaults, exec.New, false).orphans(func() any {
		s := exec.Defaults()
		s.Command = []string{"true"}
		return &s
	}),
	"http":    of(httpapi.Defaults, new(httpapi.Devices).New, true),
	"tcp":     of(tcp.Defaults, new(tcp.Devices).New, true),
	"systemd": of(systemd.Defaults, systemd.NewBus().New, true),
	"wol":     of(wol.Defaults, wol.New, false),
	"fake":    of(fake.Defaults, fake.New, false).orphans(func() any { s := fake.Defaults(); return &s }),
}

func (d driver) orphans(settings func() any) driver {
	d.orphan = settings
	return d
}

func of[S any, E encoders.Encoder](defaults func() S, open func(S, encoders.Env) (E, error), byHand bool) driver {
	return driver{
		settings: func() any { s := defaults(); return &s },
		open: func(settings any, env encoders.Env) (encoders.Encoder, error) {
			s, ok := settings.(*S)
			if !ok {
				return nil, fmt.Errorf("settings of type %T are another driver's", settings)
			}
			mask := secret.NewMasker(env.Secrets...)
			env.Log = mask.Logger(env.Log)
			e, err := open(*s, env)
			if err != nil {
				return nil, mask.Error(err) // not a typed nil
			}
			return encoders.Masked(e, mask), nil
		},
		byHand: byHand,
	}
}

// OpenDriver opens an encoder of the driver.
func OpenDriver(name string, settings any, env encoders.Env) (encoders.Encoder, error) {
	return drivers[name].open(settings, env)
}

// DriverSettings is what the configuration's loader needs of the registry.
func DriverSettings() map[string]func() any {
	m := make(map[string]func() any, len(drivers))
	for name, d := range drivers {
		m[name] = d.settings
	}
	return m
}
