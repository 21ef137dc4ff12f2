package configs_test

import (
	"testing"
	"time"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
)

type fakeSettings struct {
	StartDelay time.Duration `yaml:"start_delay" doc:"from start to publishing"`
	Password   secret.Value  `yaml:"password" doc:"a secret"`
	Any        any           `yaml:"json" doc:"free"`
}

func TestLoad(t *testing.T) {
	o := configs.Options{Drivers: map[string]func() any{"fake": func() any { return &fakeSettings{} }}}
	c, warnings, err := o.Parse("x.yaml", []byte(`
accounts: {A: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}
defaults: {idle_timeout: 1m, restart: {max: 5s}}
encoders:
  bench: {fake: {start_delay: 200ms}}
streams:
  lobby: {encoder: bench, idle_timeout: 2m}
  cam-*: {encoder: bench}
`))
	t.Log(warnings)
	if err != nil {
		t.Fatal(err)
	}
	s, m, ok := c.Lookup("A", "cam-7")
	t.Log(s.ID, m, ok, s.Origins)
}
