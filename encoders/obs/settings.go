package obs

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
)

// Settings says where OBS is and what is selected in it before a start. Addr, Profile,
// SceneCollection and Scene may hold the placeholders of [encoders.Job.Fill].
type Settings struct {
	Addr     string       `yaml:"address" shown:"yes" doc:"host:port of OBS's websocket server (Tools > WebSocket Server Settings)"`
	Password secret.Value `yaml:"password" doc:"of the websocket server; empty when it asks for none"`
	TLS      bool         `yaml:"tls" doc:"speak wss, for a proxy in front of OBS; OBS itself has no TLS"`

	// SetService says what of the stream's publish is put into OBS before each start: "true" server
	// and key, "key" the key alone, for a service that OBS knows by name and that may send several
	// qualities (Enhanced Broadcasting), "false" nothing.
	SetService string `yaml:"set_service" enum:"true,false,key" doc:"put server and key of publish into OBS before each start; key: the key alone, so that the service chosen in OBS stays, with its Enhanced Broadcasting; false: its own stream settings stay"`

	Profile         string `yaml:"profile" doc:"selected before a start; empty = leave it"`
	SceneCollection string `yaml:"scene_collection" doc:"selected before a start; empty = leave it"`
	Scene           string `yaml:"scene" doc:"selected before a start; empty = leave it"`

	StallTimeout time.Duration `yaml:"stall_timeout" min:"1s" doc:"streaming without delivering for this long is a stall"`
}

// Defaults returns the settings of an OBS on this machine.
func Defaults() Settings {
	return Settings{Addr: "127.0.0.1:4455", SetService: setNothing, StallTimeout: 10 * time.Second}
}

// What SetService can be.
const (
	setAll     = "true"
	setKey     = "key"
	setNothing = "false"
)

// NeedsPublish reports whether a start needs a publishing URL. Otherwise OBS's own settings say
// where to publish.
func (s Settings) NeedsPublish() bool { return s.SetService == setAll || s.SetService == setKey }

// Simulcasts says when OBS sends one quality alone: to a custom RTMP or SRT server. Source: the
// platform's documentation, "Enhanced Broadcasting in OBS".
func (s Settings) Simulcasts(p ingest.Protocol) error {
	if s.SetService != setAll || p == ingest.WHIP {
		return nil
	}
	return fmt.Errorf("sends one quality to a custom %s server; write set_service: key, which keeps the service that "+
		"is chosen in OBS and its Enhanced Broadcasting, or protocol: whip", p)
}

// Validate reports every impossible value.
func (s Settings) Validate() error {
	var errs []error
	if err := checkAddress(s.Addr); err != nil {
		errs = append(errs, err)
	}
	if s.SetService != "" && s.SetService != setNothing && !s.NeedsPublish() {
		errs = append(errs, fmt.Errorf("set_service: is %q, must be true, false or key", s.SetService))
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
