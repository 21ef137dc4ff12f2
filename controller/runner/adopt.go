package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// adoptLeft asks the encoders that an earlier process may have left running and that the store does
// not know of, because it was lost, or is an old one. Streams take over theirs; the rest is
// stopped.
func (c *Controller) adoptLeft() {
	defer func() {
		c.swept.Store(true)
		for _, s := range c.all() { // one that could have been forgotten before had to wait for this
			if p := s.published(); p.spec != nil && (p.state.Draining || p.spec.Policy.Pattern != "") {
				c.mu.RLock()
				evict := s.evicted
				c.mu.RUnlock()
				s.postItem(item{evict: evict})
			}
		}
	}()
	if c.cfg.Left == nil {
		return
	}
	mayRun := map[machine.Instance]bool{}
	for _, s := range c.all() {
		for e := range s.published().state.All() {
			mayRun[e.Instance] = mayRun[e.Instance] || e.MayRun()
		}
	}
	for _, e := range c.cfg.Left() {
		if c.ctx.Err() == nil && !mayRun[e.Instance] {
			c.adopt(e)
		}
	}
}

func (c *Controller) adopt(e machine.EncoderSpec) {
	d := c.devices.get(e.Instance)
	defer c.devices.put(d)
	ctx, cancel := context.WithTimeout(c.ctx, askLimit)
	defer cancel()
	enc, err := d.driver(e, encoders.Job{}, false)
	if err != nil {
		c.cfg.Log.Warn("an encoder that may still run from before cannot be asked", "encoder", e.Device, "error", err)
		return
	}
	st, err := enc.Status(ctx, encoders.Job{})
	if err != nil || st.State.Gone() || st.State == encoders.StateUnknown || st.Stream == "" {
		return
	}
	c.cfg.Log.Warn("an encoder was found running that the store does not know of",
		"encoder", e.Device, "stream", st.Stream, "pid", st.PID)
	account, name, _ := controller.StreamID(st.Stream).Split()
	s := c.stream(account, name)
	if s == nil {
		s = c.bringBack(account, name, nil, machine.State{}, time.Time{})
	}
	answer := make(chan controller.Receipt, 1)
	if s.postItem(item{ev: machine.Leftover{Encoder: e.Name, Instance: e.Instance, Status: st}, answer: answer}) {
		select {
		case <-answer:
		case <-c.ctx.Done():
			return
		}
	}
	mine := s.published().state.ByInstance(e.Instance)
	if mine == nil || !mine.MayRun() { // the stream has another one of the name in hand, which also runs
		d := c.devices.get(e.Instance)
		c.calls.Go(func() {
			defer c.devices.put(d)
			c.stopLeft(d, e, encoders.Job{Account: account, Name: name, Run: st.Run})
		})
	}
}

// stopLeft stops an encoder that no stream can take over, however long it takes.
func (c *Controller) stopLeft(d *device, e machine.EncoderSpec, job encoders.Job) {
	c.notify(controller.Notice{
		Kind: "stop_unconfirmed", Account: job.Account, Stream: controller.StreamID(job.ID()), At: c.cfg.Clock.Now(),
		Text: fmt.Sprintf("%s was found running beside another copy of its stream; it is being stopped", e.Device),
	})
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		ctx, cancel := context.WithTimeout(c.ctx, askLimit)
		enc, err := d.driver(e, job, false)
		if err == nil {
			err = enc.Stop(ctx, job)
		}
		cancel()
		if err == nil || c.ctx.Err() != nil {
			return
		}
		c.cfg.Log.Error("a second copy of an encoder is not confirmed stopped",
			"encoder", e.Device, "stream", job.ID(), "error", err)
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
		}
	}
}
