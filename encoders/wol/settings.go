package wol

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// Settings names a computer that sleeps, and how to see that it is awake.
type Settings struct {
	MAC       string `yaml:"mac" shown:"yes" doc:"address of its network card, such as a0:b1:c2:d3:e4:f5"`
	Check     string `yaml:"check" shown:"yes" doc:"what answers once it is ready: tcp://HOST:PORT, or an http or https URL that answers below 500"`
	Broadcast string `yaml:"broadcast" shown:"yes" doc:"address and UDP port that the packet is sent to; 255.255.255.255 is every network of this host"`
	Interface string `yaml:"interface" shown:"yes" doc:"network card of this host that sends it, such as eth1; empty = as broadcast says"`
}

// Defaults returns settings that lack the computer.
func Defaults() Settings { return Settings{Broadcast: "255.255.255.255:9"} }

// Validate reports every impossible value.
func (s Settings) Validate() error {
	var errs []error
	if s.MAC == "" {
		errs = append(errs, errors.New("mac: is missing; it is the address of the computer's network card, such as "+
			"a0:b1:c2:d3:e4:f5"))
	} else if _, err := s.card(); err != nil {
		errs = append(errs, err)
	}
	if s.Check == "" {
		errs = append(errs, errors.New("check: is missing; say what answers once the computer is ready, such as "+
			"tcp://10.0.0.5:4455"))
	} else if err := s.checkable(); err != nil {
		errs = append(errs, err)
	}
	if _, err := netip.ParseAddrPort(s.Broadcast); err != nil {
		errs = append(errs, fmt.Errorf(`broadcast: is %q, must be an IP address and a port, such as "10.0.0.255:9"`,
			s.Broadcast))
	}
	return errors.Join(errs...)
}

// card is the address of the computer's network card.
func (s Settings) card() (net.HardwareAddr, error) {
	card, err := net.ParseMAC(s.MAC)
	if err != nil || len(card) != 6 {
		return nil, fmt.Errorf("mac: is %q, must be six bytes in hex, such as a0:b1:c2:d3:e4:f5", s.MAC)
	}
	return card, nil
}

func (s Settings) checkable() error {
	u, err := url.Parse(s.Check)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "tcp" && u.Scheme != "http" && u.Scheme != "https":
		return errors.New("check: must be tcp://HOST:PORT, or begin with http:// or https://")
	case u.User != nil:
		return errors.New("check: holds a user or password; name a page that asks for none: any answer below 500 will do")
	case u.Scheme == "tcp" && (u.Port() == "" || u.Hostname() == "" || u.Path != ""):
		return fmt.Errorf("check: is %q, must be tcp://HOST:PORT", s.Check)
	}
	return nil
}

// HelperOnly marks settings of what does not publish: oncue takes it as a helper, not as an
// encoder.
func (s Settings) HelperOnly() {}

// NeedsPublish reports that a computer is told no publishing URL.
func (s Settings) NeedsPublish() bool { return false }

// Address tells this computer apart from others, for the loader's checks.
func (s Settings) Address() string {
	card, err := s.card()
	if err != nil {
		return ""
	}
	return "wol " + card.String()
}
