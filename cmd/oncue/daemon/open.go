package daemon

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/encoders"
)

// OpenEncoder opens a configured encoder outside the daemon. Its files are in dir; "" is for an
// encoder that is only planned or checked. The caller calls done.
func OpenEncoder(cfg *configs.Config, name, dir string) (_ encoders.Encoder, done func(), err error) {
	e, ok := cfg.Encoder(name)
	if !ok {
		names := make([]string, len(cfg.Boxes()))
		for i, e := range cfg.Boxes() {
			names[i] = e.Name
		}
		return nil, nil, term.Hint(fmt.Errorf("%s has no encoder %q", cfg.File, name),
			"it has "+strings.Join(names, ", "))
	}
	enc, err := OpenDriver(e.Driver, e.Settings, encoders.Env{
		Name: e.Name, Dir: dir, Log: slog.New(slog.DiscardHandler), Guard: guardOf(cfg), Secrets: e.Secrets,
	})
	if err != nil {
		return nil, nil, err
	}
	return enc, func() {
		if c, ok := enc.(encoders.Closer); ok {
			_ = c.Close()
		}
	}, nil
}
