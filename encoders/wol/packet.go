package wol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// broadcast reaches every computer of a network. Routers pass it nowhere.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// packet is what wakes a card.
func packet(card net.HardwareAddr) []byte {
	return append(bytes.Repeat([]byte{0xff}, 6), bytes.Repeat(card, 16)...)
}

// send sends one packet on every network card that the settings say.
func (e *Encoder) send(ctx context.Context) error {
	e.mu.Lock()
	e.sent = time.Now()
	e.mu.Unlock()
	card, err := e.settings.card()
	if err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(e.settings.Broadcast)
	if err != nil {
		return err
	}
	senders, err := e.settings.senders(to.Addr())
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range senders {
		if err := sendBy(ctx, name, to, packet(card)); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) < len(senders) { // the computer is in one of these networks only
		return nil
	}
	return errors.Join(errs...)
}

// senders are the network cards of this host that send the packet; "" is the one that the routes
// say. The kernel sends to 255.255.255.255 by the card of the default route alone, which often is
// not the one where the computer is: so all send it.
func (s Settings) senders(to netip.Addr) ([]string, error) {
	if s.Interface == "" && to != broadcast {
		return []string{""}, nil
	}
	all, err := cards()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range all {
		if c.name == s.Interface || s.Interface == "" && c.broadcasts && c.network.IsValid() {
			names = append(names, c.name)
		}
	}
	switch {
	case len(names) > 0:
		return names, nil
	case s.Interface != "":
		return nil, fmt.Errorf("this host has no interface %s", s.Interface)
	}
	return nil, errors.New("this host has no network with broadcasts")
}

// netCard is a network card of this host.
type netCard struct {
	name       string
	broadcasts bool         // it is up, and in a network with broadcasts
	network    netip.Prefix // its first IPv4 address; not valid when it has none
}

// cards lists the network cards of this host. It asks without a netlink socket, which package net
// uses and the packaged service may not open.
func cards() (list []netCard, err error) {
	names, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for the network cards: %w", err)
	}
	defer unix.Close(fd)
	for _, name := range names {
		c := netCard{name: name.Name()}
		ask := func(what uint) *unix.Ifreq {
			r, err := unix.NewIfreq(c.name)
			if err == nil {
				err = unix.IoctlIfreq(fd, what, r)
			}
			if err != nil { // it has no such thing, or has just gone
				return nil
			}
			return r
		}
		const wanted = unix.IFF_UP | unix.IFF_BROADCAST
		if flags := ask(unix.SIOCGIFFLAGS); flags != nil {
			c.broadcasts = flags.Uint16()&wanted == wanted
		}
		if at, mask := ask(unix.SIOCGIFADDR), ask(unix.SIOCGIFNETMASK); at != nil && mask != nil {
			c.network = network(at, mask)
		}
		list = append(list, c)
	}
	return list, nil
}

func network(at, mask *unix.Ifreq) netip.Prefix {
	address, err := at.Inet4Addr()
	if err != nil {
		return netip.Prefix{}
	}
	bits, err := mask.Inet4Addr()
	if err != nil {
		return netip.Prefix{}
	}
	ip, _ := netip.AddrFromSlice(address)
	ones, _ := net.IPMask(bits).Size()
	return netip.PrefixFrom(ip, ones)
}

func sendBy(ctx context.Context, card string, to netip.AddrPort, data []byte) error {
	network, what := "udp4", to.String()
	if to.Addr().Is6() {
		network = "udp6"
	}
	config := net.ListenConfig{}
	if card != "" {
		what += " by " + card
		config.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), card) }); e != nil {
				return e
			}
			return err
		}
	}
	conn, err := config.ListenPacket(ctx, network, ":0")
	if err == nil {
		defer conn.Close()
		_, err = conn.WriteTo(data, net.UDPAddrFromAddrPort(to))
	}
	if err != nil {
		return fmt.Errorf("send the packet to %s: %w", what, err)
	}
	return nil
}
