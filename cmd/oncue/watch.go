package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

// watchStatus goes on showing the status: on a terminal it redraws, elsewhere it prints one line for each change.
func (c *client) watchStatus(ctx context.Context, s screen, of selection, errs io.Writer) error {
	if s.live {
		return c.redraw(ctx, s, of)
	}
	seen := map[string]string{}
	return c.follow(ctx, func() error {
		var all atAGlance
		if err := c.get(ctx, of.path(), &all); err != nil {
			return err
		}
		for _, v := range all.Streams {
			s.changeLine(v, of, seen)
		}
		return nil
	}, func(ch change) error {
		if ch.Stream != nil {
			s.changeLine(*ch.Stream, of, seen)
		}
		return nil
	})
}

// changeLine prints a stream when its phase or reason is another one than before.
func (s screen) changeLine(v controller.StreamView, of selection, seen map[string]string) {
	now := string(v.Phase) + " " + v.Reason
	if !of.has(v.ID) || seen[v.ID] == now {
		return
	}
	seen[v.ID] = now
	s.printf("%s  %s  %-9s  %s\n", time.Now().Format(time.DateTime), harmless(v.ID), v.Phase, harmless(v.Reason))
}

// redraw shows the whole page anew each second, for its times move, and at each change. What does not fit is cut at the bottom.
func (c *client) redraw(ctx context.Context, s screen, of selection) error {
	changed := make(chan struct{}, 1)
	lost := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		lost <- c.follow(ctx, nil, func(change) error {
			select {
			case changed <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	fmt.Fprint(s.out, "\x1b[?1049h\x1b[?25l") // a page of its own, without cursor
	defer fmt.Fprint(s.out, "\x1b[?25h\x1b[?1049l")
	for {
		c.draw(ctx, s, of)
		select {
		case <-ctx.Done():
			return nil
		case err := <-lost:
			return err
		case <-changed:
		case <-tick.C:
		}
	}
}

// draw makes the page in memory first, so that it does not flicker.
func (c *client) draw(ctx context.Context, s screen, of selection) {
	var page bytes.Buffer
	to := s
	to.out = &page
	to.size, to.tall = s.width(), max(1, s.height()-1)
	if err := c.showStatus(ctx, to, of); err != nil {
		fmt.Fprintf(&page, "\n%s\n", s.paint(red, "error: "+err.Error()))
	}
	lines := strings.Split(strings.TrimRight(page.String(), "\n"), "\n")
	if most := max(1, s.height()-1); len(lines) > most {
		lines = append(lines[:most-1], fmt.Sprintf("… and %s more", plural(len(lines)-most+1, "line")))
	}
	fmt.Fprint(s.out, "\x1b[H"+strings.Join(lines, "\x1b[K\n")+"\x1b[K\x1b[J")
}
