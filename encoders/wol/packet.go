package wol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	cards, err := e.settings.senders(to.Addr())
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range cards {
		if err := sendBy(ctx, name, to, packet(card)); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) < len(cards) { // the computer is in one of these networks only
		return nil
	}
	return errors.Join(errs...)
}

// senders are the network cards of this host that send the packet; "" is the one that the routes
// say. The kernel sends to 255.255.255.255 by the card of the default route alone, which often is
// not the one where the computer is: so all send it.
func (s Settings) senders(to netip.Addr) ([]string, error) {
	if s.Interface != "" {
		if _, err := net.InterfaceByName(s.Interface); err != nil {
			return nil, fmt.Errorf("interface %s: %w", s.Interface, err)
		}
		return []string{s.Interface}, nil
	}
	if to != broadcast {
		return []string{""}, nil
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range all {
		if networks := networksOf(i); i.Flags&net.FlagUp != 0 && i.Flags&net.FlagBroadcast != 0 && len(networks) > 0 {
			names = append(names, i.Name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("this host has no network with broadcasts")
	}
	return names, nil
}

// networksOf lists the IPv4 networks of a card.
func networksOf(i net.Interface) (list []netip.Prefix) {
	addrs, _ := i.Addrs() // an interface that has gone has none
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			list = append(list, p)
		}
	}
	return list
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
