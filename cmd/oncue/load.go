package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller/notify"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/store"
)

// loadWhole reads the configuration as the daemon does: what it would refuse to start with is a problem of the file.
// Missing are the variables that it refers to and that are not set.
func loadWhole(path string) (cfg *configs.Config, warnings []configs.Problem, missing []string, err error) {
	env := func(name string) (string, bool) {
		value, ok := os.LookupEnv(name)
		if !ok && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return value, ok
	}
	cfg, warnings, err = configs.Options{Drivers: driverSettings(), Env: env, Also: unusable}.Load(path)
	return cfg, warnings, missing, err
}

// unusable says which parts of a configuration the daemon could not use, each at its key.
func unusable(cfg *configs.Config) []error {
	var found []error
	if cert, key := cfg.TLS.CertFile, cfg.TLS.KeyFile; cert != "" && key != "" {
		found = web.CheckCertFiles(cert, key)
	}
	// Whose folder it should be is not known here: who checks may be another user than the
	// daemon's.
	err := store.CheckDir(cfg.DataDir, besideConfig(cfg))
	if foreign, ok := errors.AsType[*store.ForeignDirError](err); ok && !foreign.Others {
		found = append(found, fmt.Errorf("data_dir: %w; allowed: a folder of its own, such as %s",
			foreign, filepath.Join(cfg.DataDir, "oncue")))
	}
	for i, r := range receivers(cfg.Notify) {
		if !r.URL.Set() {
			continue
		}
		if err := notify.Check(r); err != nil {
			found = append(found, fmt.Errorf("notify[%d].url: %w", i, err))
		}
	}
	return found
}
