package obs

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// Settings says where OBS is and what is selected in it before a start. Addr, Profile,
// SceneCollection and Scene may hold the placeholders of [encoders.Job.Fill].
type Settings struct {
	Addr     string       `yaml:"address" shown:"yes" doc:"host:port of OBS's websocket server (Tools > WebSocket Server Settings)"`
	Password secret.Value `yaml:"password" doc:"of the websocket server; empty when it asks for none"`
	TLS      bool         `yaml:"tls" doc:"speak wss, for a proxy in front of OBS; OBS itself has no TLS"`

	SetService bool `yaml:"set_service" doc:"put server and key of publish into OBS before each start; otherwise its own stream settings stay"`

	Profile         string `yaml:"profile" doc:"selected before a start; empty = leave it"`
	SceneCollection string `yaml:"scene_collection" doc:"selected before a start; empty = leave it"`
	Scene           string `yaml:"scene" doc:"selected before a start; empty = leave it"`

	StallTimeout time.Duration `yaml:"stall_timeout" min:"1s" doc:"streaming without delivering for this long is a stall"`
}

// Defaults returns the settings of an OBS on this machine.
func Defaults() Settings { return Settings{Addr: "127.0.0.1:4455", StallTimeout: 10 * time.Second} }

// NeedsPublish reports whether a start needs a publishing URL. Otherwise OBS's own settings say
// where to publish.
func (s Settings) NeedsPublish() bool { return s.SetService }

// Validate reports every impossible value.
func (s Settings) Validate() error {
	var errs []error
	if err := checkAddress(s.Addr); err != nil {
		errs = append(errs, err)
	}
	if s.StallTimeout < time.Second {
		errs = append(errs, fmt.Errorf("stall_timeout: is %v, must be 1s or more", s.StallTimeout))
	}
	return errors.Join(errs...)
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf(`address: is %q, must be host:port such as "10.0.0.5:4455"`, address)
	}
	if host == "" || strings.ContainsAny(host, "/@? ") {
		return fmt.Errorf("address: has the host %q, must be a name or an IP address", host)
	}
	if n, err := strconv.Atoi(port); !strings.Contains(port, "{") && (err != nil || n < 1 || n > 65535) {
		return fmt.Errorf("address: has the port %q, must be 1 to 65535", port)
	}
	return nil
}

// Address tells this OBS apart from others, for the loader's checks.
func (s Settings) Address() string { return "obs " + s.Addr }
