package wol

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/oncue/oncue/encoders"
)

// askLimit is how long the computer has to answer. One that sleeps does not.
const askLimit = 2 * time.Second

// ask returns nil when what check names answers.
func (s Settings) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	u, err := url.Parse(s.Check)
	if err != nil {
		return err
	}
	if u.Scheme == "tcp" {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return err
		}
		return c.Close()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Check, nil)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s: %s", s.Check, answer.Status)
	}
	return nil
}

// Check looks whether the packet can be sent, and whether the computer answers. It wakes nobody.
func (e *Encoder) Check(ctx context.Context, _ encoders.Job) []encoders.Finding {
	s := e.settings
	to, err := netip.ParseAddrPort(s.Broadcast)
	if err == nil {
		_, err = s.senders(to.Addr())
	}
	if err != nil {
		return []encoders.Finding{{Level: encoders.Bad, What: "the packet cannot be sent: " + err.Error(),
			Hint: "`ip link` lists the network cards of this host"}}
	}
	found := []encoders.Finding{{Level: encoders.OK, What: fmt.Sprintf("a start sends the packet for %s to %s", s.MAC,
		s.Broadcast)}}
	if far, ok := s.elsewhere(to.Addr()); ok {
		found = append(found, encoders.Finding{Level: encoders.Warn,
			What: fmt.Sprintf("%s is in no network of this host, and routers do not pass the packet on", far),
			Hint: "broadcast: the address of the computer's own network, if its router is set to pass that on"})
	}
	if err := s.ask(ctx); err != nil {
		return append(found, encoders.Finding{Level: encoders.OK,
			What: fmt.Sprintf("%s does not answer, as when the computer sleeps: %v", s.Check, err)})
	}
	return append(found, encoders.Finding{Level: encoders.OK, What: s.Check + " answers: the computer is awake"})
}

// elsewhere returns the address of the computer when it is in none of this host's networks, and the
// packet is for those.
func (s Settings) elsewhere(to netip.Addr) (netip.Addr, bool) {
	u, err := url.Parse(s.Check)
	if err != nil || to != broadcast {
		return netip.Addr{}, false
	}
	host, err := netip.ParseAddr(u.Hostname())
	if err != nil || !host.Is4() { // a name: it may be asleep, too
		return netip.Addr{}, false
	}
	all, err := cards()
	if err != nil {
		return netip.Addr{}, false
	}
	for _, c := range all {
		if c.network.IsValid() && c.network.Contains(host) {
			return netip.Addr{}, false
		}
	}
	return host, true
}

// Plan says what a start and a stop do.
func (e *Encoder) Plan(encoders.Job) []string {
	by := ""
	if e.settings.Interface != "" {
		by = " by " + e.settings.Interface
	}
	return []string{
		fmt.Sprintf("start: send the magic packet for %s to %s%s, every %v until %s answers", e.settings.MAC,
			e.settings.Broadcast, by, e.every, e.settings.Check),
		"stop: leave the computer as it is; its own power plan sends it to sleep",
	}
}
