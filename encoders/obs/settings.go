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

// Settings says where OBS is and what is to be chosen in it before a start. Address, Profile, SceneCollection and Scene may hold the
// placeholders of [encoders.Job.Fill].
type Settings struct {
	Address         string        `yaml:"address"`          // host:port of OBS's websocket server
	Password        secret.Value  `yaml:"password"`         // of the websocket server; empty when it asks for none
	TLS             bool          `yaml:"tls"`              // wss, for a proxy in front of OBS; OBS itself has no TLS
	SetService      bool          `yaml:"set_service"`      // put Job.Publish into OBS before each start; else its stream settings are left alone
	Profile         string        `yaml:"profile"`          // chosen before a start; "" leaves the one that is
	SceneCollection string        `yaml:"scene_collection"` // likewise
	Scene           string        `yaml:"scene"`            // likewise
	StallTimeout    time.Duration `yaml:"stall_timeout"`    // streaming without delivering for so long is a stall
}

// Defaults returns the settings of an OBS on this machine.
func Defaults() Settings { return Settings{Address: "127.0.0.1:4455", StallTimeout: 10 * time.Second} }

// Validate reports every impossible value.
func (s Settings) Validate() error {
	var errs []error
	if err := checkAddress(s.Address); err != nil {
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
