package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller"
)

// watchStatus keeps showing the status: on a terminal it redraws, elsewhere it prints one line for
// each change.
func watchStatus(ctx context.Context, c *client.Client, s term.Screen, of selection, errs io.Writer) error {
	if s.Live {
		return redraw(ctx, c, s, of)
	}
	seen := map[string]string{}
	return c.Follow(ctx, func() error {
		var all term.Status
		if err := c.Get(ctx, of.path(), &all); err != nil {
			return err
		}
		for _, v := range all.Streams {
			changeLine(s, v, of, seen)
		}
		return nil
	}, func(ch client.Change) error {
		if ch.Stream != nil {
			changeLine(s, *ch.Stream, of, seen)
		}
		return nil
	})
}

// changeLine prints a stream whose phase or reason has changed.
func changeLine(s term.Screen, v controller.StreamView, of selection, seen map[string]string) {
	now := string(v.Phase) + " " + v.Reason
	if !of.has(string(v.ID)) || seen[string(v.ID)] == now {
		return
	}
	seen[string(v.ID)] = now
	s.Printf("%s  %s  %-9s  %s\n", time.Now().Format(time.DateTime), term.Harmless(string(v.ID)), v.Phase,
		term.Harmless(v.Reason))
}

// redraw draws the whole page each second, because it shows durations, and at each change. It cuts
// off what does not fit.
func redraw(ctx context.Context, c *client.Client, s term.Screen, of selection) error {
	changed := make(chan struct{}, 1)
	lost := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		lost <- c.Follow(ctx, nil, func(client.Change) error {
			select {
			case changed <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	fmt.Fprint(s.Out, "\x1b[?1049h\x1b[?25l") // a page of its own, without cursor
	defer fmt.Fprint(s.Out, "\x1b[?25h\x1b[?1049l")
	for {
		draw(ctx, c, s, of)
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

// draw builds the page in memory first, so that it does not flicker.
func draw(ctx context.Context, c *client.Client, s term.Screen, of selection) {
	var page bytes.Buffer
	to := s
	to.Out = &page
	to.Size, to.Tall = s.Width(), max(1, s.Height()-1)
	if err := showStatus(ctx, c, to, of); err != nil {
		fmt.Fprintf(&page, "\n%s\n", s.Paint(term.Red, "error: "+err.Error()))
	}
	lines := strings.Split(strings.TrimRight(page.String(), "\n"), "\n")
	if most := max(1, s.Height()-1); len(lines) > most {
		lines = append(lines[:most-1], fmt.Sprintf("… and %s more", term.Plural(len(lines)-most+1, "line")))
	}
	fmt.Fprint(s.Out, "\x1b[H"+strings.Join(lines, "\x1b[K\n")+"\x1b[K\x1b[J")
}
