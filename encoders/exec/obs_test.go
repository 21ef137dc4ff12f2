package exec

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/obs"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

// TestOBS brings up the screen and the OBS of the page, drives that OBS, and ends all three.
func TestOBS(t *testing.T) {
	o := obstest.Configured(t, obstest.Config{})
	_, port, err := net.SplitHostPort(o.Address)
	if err != nil {
		t.Fatal(err)
	}
	display := 100 + os.Getpid()%10_000
	for socket := 0; socket < 100; socket++ {
		if _, err := os.Lstat(fmt.Sprintf("/tmp/.X11-unix/X%d", display)); err != nil {
			break
		}
		display++
	}
	here := strings.NewReplacer(":97", fmt.Sprint(":", display), "X97", fmt.Sprint("X", display), "/var/lib/obs", o.Home,
		":4455", ":"+port)
	helpers := map[string]*Encoder{}
	for _, name := range []string{"screen", "obs-app"} {
		s := fromPage(t, name)
		for i, word := range s.Command {
			s.Command[i] = here.Replace(word)
		}
		for variable, value := range s.Env {
			s.Env[variable] = here.Replace(value)
		}
		s.Ready.TCP, s.Ready.File = here.Replace(s.Ready.TCP), here.Replace(s.Ready.File)
		helpers[name] = opened(t, s)
		start(t, helpers[name], helper)
		stateOf(t, helpers[name], encoders.StatePublishing)
	}
	box := newSink(t)
	s := obs.Defaults()
	s.Addr, s.Password, s.SetService = o.Address, o.Password, "true"
	e, err := obs.New(s, encoders.Env{Name: "studio", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	job := box.job()
	await(t, "OBS takes a start", func() bool { return e.Start(t.Context(), job) == nil })
	await(t, "pictures", func() bool { return box.pictures() > 30 })
	if err := e.Stop(t.Context(), job); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"obs-app", "screen"} {
		if took := stop(t, helpers[name], helper); took > helper.Grace {
			t.Errorf("%s ends only after %v", name, took)
		}
		if s, _ := helpers[name].now(); s.State != encoders.StateStopped {
			t.Errorf("%s is %+v", name, s)
		}
	}
	if _, err := os.Lstat(filepath.Join("/tmp/.X11-unix", fmt.Sprint("X", display))); err == nil {
		t.Error("the screen was killed: its socket is left")
	}
}
