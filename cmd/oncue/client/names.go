package client

import (
	"context"
	"fmt"
	"strings"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller"
)

// StreamID finds the stream or helper that a person means: an id, or a name alone if only one
// account has it.
// It returns an unknown name as it is: the daemon refuses that, and knows similar names.
func (c *Client) StreamID(ctx context.Context, given string) (string, error) {
	var all term.Status
	if err := c.Get(ctx, "/status", &all); err != nil {
		return "", err
	}
	var named []string
	for _, h := range all.Helpers {
		if id := string(controller.HelperID(h.Name)); id == given || h.Name == given {
			named = append(named, id)
		}
	}
	for _, s := range all.Streams {
		if s.ID == controller.StreamID(given) {
			return given, nil
		}
		if s.Name == given {
			named = append(named, string(s.ID))
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return "", term.Hint(term.Usage(fmt.Errorf("%s is the name of several", term.Harmless(given))),
			"say which one: "+term.Harmless(strings.Join(named, ", ")))
	}
	// A stream of a pattern exists only after it was asked for.
	account := controller.StreamID(given).Account()
	for _, p := range all.Platform {
		if p.Account == account {
			return given, nil
		}
	}
	if len(all.Platform) == 1 {
		return string(controller.JoinID(all.Platform[0].Account, given)), nil
	}
	return given, nil
}

// Stream reads one stream as the API shows it.
func (c *Client) Stream(ctx context.Context, id string) (s controller.StreamView, err error) {
	err = c.Get(ctx, StreamPath(id, ""), &s)
	return s, err
}
