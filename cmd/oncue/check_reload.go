package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
)

// askRunning bounds the request for what runs.
const askRunning = 500 * time.Millisecond

// planReload prints what a reload would do to the encoders that run now. It prints nothing unless a
// daemon answers that has this very file.
func (s planPage) planReload(cmd *cobra.Command, cfg *configs.Config) {
	c, err := client.Find(cmd)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), askRunning)
	defer cancel()
	var all term.Status
	if err := c.Get(ctx, "/status", &all); err != nil || all.Config == nil {
		return
	}
	if file, err := filepath.Abs(cfg.File); err != nil || file != all.Config.File {
		return
	}
	var lines [][2]string
	for i := range all.Streams {
		lines = append(lines, fates(cfg, &all.Streams[i])...)
	}
	if len(lines) == 0 {
		return
	}
	s.Printf("%s\n", s.Paint(term.Bold, "what runs now"))
	for _, l := range lines {
		s.item(l[0], "%s", l[1])
	}
	s.Printf("\n")
}

// fates says what the configuration means for each encoder of a stream that the daemon runs.
func fates(cfg *configs.Config, v *controller.StreamView) (lines [][2]string) {
	st, _, known := cfg.Lookup(v.Account, v.Name)
	for _, e := range v.Encoders {
		if !v.Managed || e.State.Gone() || e.State == "unknown" && !e.Wanted {
			continue
		}
		fate := "is kept; settings that have changed count from its next start on"
		now, there := cfg.Encoder(e.Name)
		switch {
		case !known:
			fate = "is drained: it serves until nobody watches, and the stream is gone then"
		case e.Cover && e.Name != st.Cover:
			fate = "is stopped, and is the cover no longer"
		case !slices.Contains(st.All(), e.Name):
			fate = fmt.Sprintf("is stopped, and %s takes over", strings.Join(st.Encoders, ", "))
		case there && now.Driver != e.Driver:
			fate = fmt.Sprintf("is kept as %s; its next start is by %s", e.Driver, now.Driver)
		}
		lines = append(lines, [2]string{string(v.ID), e.Name + " " + fate})
	}
	return lines
}
