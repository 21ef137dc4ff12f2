package main

import (
	"fmt"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller/notify"
	"github.com/oncue/oncue/controller/web"
)

// loadWhole reads the configuration as the daemon does: what it would refuse to start with is a problem of the file.
func loadWhole(path string) (*configs.Config, []configs.Problem, error) {
	return configs.Options{Drivers: driverSettings(), Also: unusable}.Load(path)
}

// unusable says which parts of a configuration the daemon could not use, each at its key.
func unusable(cfg *configs.Config) []error {
	var found []error
	if cert, key := cfg.TLS.CertFile, cfg.TLS.KeyFile; cert != "" && key != "" {
		found = web.CheckCertFiles(cert, key)
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
