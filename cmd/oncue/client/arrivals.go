package client

import (
	"context"
	"net/url"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// journalArrivals tells of hooks as they appear in the journal of a daemon.
type journalArrivals struct {
	ctx    context.Context
	daemon *Client
}

// journalEvery is how often the journal is looked at.
const journalEvery = 200 * time.Millisecond

// Arrivals makes the journal a place where a test hook is waited for, until ctx ends.
func (c *Client) Arrivals(ctx context.Context) millicast.Arrivals { return &journalArrivals{ctx, c} }

// Expect implements [millicast.Arrivals].
func (j *journalArrivals) Expect(account, name string) (<-chan controller.Record, func()) {
	ctx, cancel := context.WithCancel(j.ctx)
	arrived := make(chan controller.Record, 1)
	path := "/api/v1/events?limit=1&stream=" + url.QueryEscape(account+"/"+name)
	go func() {
		tick := time.NewTicker(journalEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var records []controller.Record
			if err := j.daemon.Get(ctx, path, &records); err == nil && len(records) > 0 {
				arrived <- records[0]
				return
			}
		}
	}()
	return arrived, cancel
}
