package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/encoders"
)

// An ingest is a server to which streams are published.
type ingest struct {
	address string // host:port
	udp     bool   // SRT
	streams []string
}

// reachTime bounds one connection.
const reachTime = 5 * time.Second

var publishPorts = map[string]string{
	"rtmp": "1935", "rtmps": "443", "http": "80", "https": "443", "whip": "80", "whips": "443",
}

// ingests lists the servers that encoders of the configuration would publish to, in file order.
func ingests(cfg *configs.Config) []*ingest {
	var list []*ingest
	for _, st := range cfg.Streams {
		for _, encoder := range st.All() {
			if !cfg.Told(encoder) {
				continue
			}
			u, err := url.Parse(exampleJob(st, encoder).Publish.Reveal())
			if err != nil || u.Hostname() == "" {
				continue
			}
			port, udp := cmp.Or(u.Port(), publishPorts[u.Scheme]), u.Scheme == "srt"
			if port == "" {
				continue
			}
			address := net.JoinHostPort(u.Hostname(), port)
			i := slices.IndexFunc(list, func(i *ingest) bool { return i.address == address && i.udp == udp })
			if i < 0 {
				i = len(list)
				list = append(list, &ingest{address: address, udp: udp})
			}
			if !slices.Contains(list[i].streams, st.ID) {
				list[i].streams = append(list[i].streams, st.ID)
			}
		}
	}
	return list
}

// examine connects to the server. Over UDP only publishing shows whether it answers.
func (i *ingest) examine(ctx context.Context) findings {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	whose := "stream " + i.streams[0]
	if n := len(i.streams); n > 1 {
		whose = term.Plural(n, "stream")
	}
	host, port, _ := net.SplitHostPort(i.address)
	if i.udp {
		if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
			return bad(fmt.Sprintf("%s, for %s, is not known by name: %v", i.address, whose, client.PlainCause(err)),
				"is the host of publish right?")
		}
		return good("%s, for %s, is known by name; SRT uses UDP, so only a start shows whether it answers",
			i.address, whose)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", i.address)
	if err != nil {
		return bad(
			fmt.Sprintf("%s, for %s, takes no connection: %v", i.address, whose, client.PlainCause(err)),
			"are host and port of publish right, and does a firewall let TCP port "+port+" out?")
	}
	conn.Close()
	return good("%s, for %s, takes connections", i.address, whose)
}

// inUse is what the daemon does with an encoder.
type inUse struct {
	stream  string            // for which it is on; "" for none
	standby *encoders.Standby // what is kept ready; nil for nothing
}

// held reports whether the daemon has the encoder's input open.
func (u inUse) held() bool { return u.standby != nil && u.standby.Kind == "hot" }

// inDaemon tells what the daemon does with each encoder right now.
func (d *doctor) inDaemon(ctx context.Context) map[string]inUse {
	used := map[string]inUse{}
	if d.daemon == nil {
		return used
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	var all term.Status
	if d.daemon.Get(ctx, "/status", &all) != nil {
		return used // examineDaemon says why
	}
	for _, s := range all.Streams {
		for _, e := range s.Encoders {
			now := used[e.Name]
			if !e.State.Gone() && e.State != encoders.StateUnknown {
				now.stream = string(s.ID)
			}
			if e.Standby != nil {
				now.standby = e.Standby
			}
			used[e.Name] = now
		}
	}
	return used
}
