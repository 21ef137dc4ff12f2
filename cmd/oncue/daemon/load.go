package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller/notify"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/store"
)

// loadWhole reads the configuration as the daemon does: what it would refuse to start with is a
// problem of the file. Missing are the variables that the file refers to and that are not set.
func loadWhole(path string) (cfg *configs.Config, warnings []configs.Problem, missing []string, err error) {
	env := func(name string) (string, bool) {
		value, ok := os.LookupEnv(name)
		if !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return value, ok
	}
	cfg, warnings, err = configs.Options{Drivers: DriverSettings(), Env: env, Also: unusable}.Load(path)
	return cfg, warnings, missing, err
}

// unusable lists the parts of a configuration that the daemon could not use, each at its key.
func unusable(cfg *configs.Config) []error {
	var found []error
	if cert, key := cfg.TLS.CertFile, cfg.TLS.KeyFile; cert != "" && key != "" {
		found = web.CheckCertFiles(cert, key)
	}
	// Who owns the folder is not checked here: oncue check may run as another user than the daemon.
	err := store.CheckDir(cfg.DataDir, BesideConfig(cfg))
	if foreign, ok := errors.AsType[*store.ForeignDirError](err); ok && !foreign.Others {
		found = append(found, fmt.Errorf("data_dir: %w; allowed: a folder of its own, such as %s",
			foreign, filepath.Join(cfg.DataDir, "oncue")))
	}
	for i, r := range recipients(cfg.Notify) {
		if !r.URL.Set() {
			continue
		}
		if err := notify.Check(r); err != nil {
			found = append(found, fmt.Errorf("notify[%d].url: %w", i, err))
		}
	}
	return found
}

// Load reads the configuration. It prints problems to errs, one a line, and then returns an error
// that is [term.Said]; it hands warnings to warn.
func Load(path string, errs io.Writer, warn func(configs.Problem)) (*configs.Config, error) {
	cfg, warnings, missing, err := loadWhole(path)
	for _, w := range warnings {
		warn(w)
	}
	var problems configs.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			fmt.Fprintln(errs, p)
		}
		fmt.Fprintf(errs, "error: %s has %s; nothing was started\n", path, term.Plural(len(problems), "problem"))
		hintShell(errs, path, missing)
		return nil, term.Said(err)
	case errors.Is(err, os.ErrNotExist):
		return nil, term.Hint(err, "oncue init writes a configuration; --config FILE names another one")
	case errors.Is(err, os.ErrPermission):
		return nil, term.Hint(err, term.MayRead)
	case err != nil:
		return nil, err
	}
	return cfg, nil
}
