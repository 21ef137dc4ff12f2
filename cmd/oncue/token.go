package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller/millicast"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "List, create, renew and delete the publishing tokens that oncue makes",
		Long: "List, create, renew and delete the publishing tokens that oncue makes, through the platform's API.\n" +
			"With publish: {token: auto} the daemon makes the token of a stream by itself. " +
			"STREAM is a stream or a pattern of the configuration. Tokens are shown only with --show-secret.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTokenList(), newTokenCreate(), newTokenRotate(), newTokenDelete())
	return cmd
}

// tokenSubcommand makes a subcommand that works on the account of a stream of the configuration.
// Without a stream in its arguments it works on --account.
func tokenSubcommand(
	cmd *cobra.Command, do func(ctx context.Context, d *webhookCmd, s *configs.Stream) error,
) *cobra.Command {
	cmd.ValidArgsFunction = completeStreams
	return apiSubcommand(cmd, "show tokens instead of a mask", func(d *webhookCmd, args []string) (string, error) {
		if len(args) == 0 {
			return "", nil
		}
		var ok bool
		if d.stream, ok = d.cfg.Entry(args[0]); !ok {
			return "", term.Hint(fmt.Errorf("%s has no stream %q", d.cfg.File, args[0]),
				"oncue check lists the streams; with several accounts, write ACCOUNT/STREAM")
		}
		return d.stream.Account, nil
	}, func(ctx context.Context, d *webhookCmd, _ []string) error { return do(ctx, d, d.stream) })
}

// tokenJSON is a token as --json shows it. Its value is a mask, or the token itself.
type tokenJSON struct {
	millicast.PublishToken
	Value string `json:"token"`
}

func (d *webhookCmd) tokenJSON(t millicast.PublishToken) tokenJSON {
	return tokenJSON{t, d.tokenValue(t)}
}

func (d *webhookCmd) tokenValue(t millicast.PublishToken) string {
	if d.secrets {
		return t.Value.Reveal()
	}
	return t.Value.String()
}

// showToken prints one token after what was done with it.
func (d *webhookCmd) showToken(done string, t millicast.PublishToken) error {
	out := d.cmd.OutOrStdout()
	if d.json {
		return writeJSON(out, d.tokenJSON(t))
	}
	fmt.Fprintf(out, "publishing token %d (%s) %s\n", t.ID, term.Harmless(t.Label), done)
	if d.secrets {
		fmt.Fprintf(out, "token: %s\n", t.Value.Reveal())
	}
	return nil
}

func newTokenList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [STREAM]", Short: "List the account's publishing tokens, or those for one stream",
		Args: argsBetween(0, 1),
	}
	return tokenSubcommand(cmd, func(ctx context.Context, d *webhookCmd, s *configs.Stream) error {
		all, err := d.client.ListTokens(ctx)
		if err != nil {
			return err
		}
		if s != nil {
			label := daemon.OwnToken(s).Label()
			all = slices.DeleteFunc(all, func(t millicast.PublishToken) bool {
				return t.Label != label && !t.MayPublish(s.Name)
			})
		}
		if d.json {
			list := make([]tokenJSON, len(all))
			for i, t := range all {
				list[i] = d.tokenJSON(t)
			}
			return writeJSON(d.cmd.OutOrStdout(), list)
		}
		screen := term.NewScreen(d.cmd.OutOrStdout())
		if len(all) == 0 {
			screen.Printf("account %s has no publishing token%s\n", d.account.ID, forStream(s))
			return nil
		}
		columns := []term.Column{
			{Name: "ID"}, {Name: "LABEL", Fit: term.Middle, Least: 16}, {Name: "STATE"},
			{Name: "DOES", Fit: term.Ending, Least: 14}, {Name: "STREAMS", Fit: term.Middle, Least: 16},
		}
		if d.secrets {
			columns = append(columns, term.Column{Name: "TOKEN"})
		}
		rows := make([][]term.Cell, len(all))
		for i, t := range all {
			rows[i] = d.tokenRow(t)
		}
		screen.Table(columns, rows)
		return nil
	})
}

func forStream(s *configs.Stream) string {
	if s == nil {
		return ""
	}
	return " for " + s.Name
}

func (d *webhookCmd) tokenRow(t millicast.PublishToken) []term.Cell {
	state := term.Cell{Text: "good", Style: term.Green}
	if why := t.Unusable(time.Now()); why != "" {
		state = term.Cell{Text: strings.TrimPrefix(why, "is "), Style: term.Red}
	}
	var does []string
	for _, k := range []struct {
		on   bool
		name string
	}{
		{t.Thumbnails, "thumbnails"}, {t.Record, "records"}, {t.Clip, "clips"}, {t.Restreams(), "re-streams"},
	} {
		if k.on {
			does = append(does, k.name)
		}
	}
	var names []string
	for _, s := range t.Streams {
		names = append(names, s.Name)
	}
	row := []term.Cell{
		{Text: strconv.Itoa(t.ID)}, {Text: t.Label}, state, {Text: strings.Join(does, ", ")},
		{Text: strings.Join(names, ", ")},
	}
	if d.secrets {
		row = append(row, term.Cell{Text: d.tokenValue(t)})
	}
	return row
}

func newTokenCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create STREAM",
		Short: "Make a publishing token for a stream, unless there is one that oncue made",
		Long: "Make a publishing token for a stream or a pattern, with thumbnails, unless there is one that oncue made.\n" +
			"A stream with publish: {token: auto} uses it; for others --show-secret prints it.",
		Args: argsBetween(1, 1),
	}
	return tokenSubcommand(cmd, func(ctx context.Context, d *webhookCmd, s *configs.Stream) error {
		own := daemon.OwnToken(s)
		all, err := d.client.TokensByLabel(ctx, own.Label())
		if err != nil {
			return err
		}
		if there := own.Among(all); len(there) > 0 {
			return d.showToken("is there already", there[0])
		}
		t, err := d.client.EnsureOwnToken(ctx, own, nil, 0)
		if err != nil {
			return err
		}
		return d.showToken("was made for "+term.Harmless(s.Name), t)
	})
}

func newTokenRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate STREAM",
		Short: "Give a stream another publishing token, without touching a live feed",
		Long: "Give a stream with publish: {token: auto} another publishing token. What is live goes on with the token\n" +
			"it has; the next start takes the new one. The daemon deletes the old one when the stream is off and " +
			"nobody publishes with it.",
		Args: argsBetween(1, 1),
	}
	return tokenSubcommand(cmd, func(ctx context.Context, d *webhookCmd, s *configs.Stream) error {
		if _, err := daemon.AutoStream(d.cfg, s.ID); err != nil {
			return err
		}
		running, err := client.Find(cmd)
		if err != nil {
			return err
		}
		var r struct {
			ID    int    `json:"id"`
			Label string `json:"label"`
			Token string `json:"token,omitempty"`
		}
		path := client.StreamPath(s.ID, "/token/rotate")
		if d.secrets {
			path += "?show_secret=true"
		}
		err = running.Call(ctx, http.MethodPost, path, nil, &r)
		if client.IsUnreachable(err) && !errors.Is(err, fs.ErrPermission) {
			var t millicast.PublishToken
			t, err = daemon.RotateTokenOffline(ctx, d.cfg, s, d.client)
			r.ID, r.Label = t.ID, t.Label
			if d.secrets {
				r.Token = t.Value.Reveal()
			}
		}
		if err != nil {
			return err
		}
		if d.json {
			return writeJSON(cmd.OutOrStdout(), r)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "publishing token %d (%s) is for the next start of %s; "+
			"the one before is deleted when nobody publishes with it\n", r.ID, term.Harmless(r.Label), term.Harmless(s.Name))
		if d.secrets {
			fmt.Fprintf(cmd.OutOrStdout(), "token: %s\n", r.Token)
		}
		return nil
	})
}

func newTokenDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete STREAM",
		Short: "Delete the publishing tokens that oncue made for a stream; who publishes with them is cut off",
		Args:  argsBetween(1, 1),
	}
	return tokenSubcommand(cmd, func(ctx context.Context, d *webhookCmd, s *configs.Stream) error {
		if s.AutoToken() && d.daemonAnswers(ctx) {
			return term.Hint(fmt.Errorf("the running daemon would make the token of %s again", s.Name),
				"oncue token rotate replaces it; or stop the daemon, or write a token of your own and reload it")
		}
		own := daemon.OwnToken(s)
		all, err := d.client.TokensByLabel(ctx, own.Label())
		if err != nil {
			return err
		}
		list := own.Among(all)
		if len(list) == 0 {
			return fmt.Errorf("account %s has no token that oncue made for %s", d.account.ID, s.Name)
		}
		for _, t := range list {
			if err := d.client.DeleteToken(ctx, t.ID); err != nil {
				return err
			}
			if err := d.showToken("was deleted", t); err != nil {
				return err
			}
		}
		return nil
	})
}

// daemonAnswers reports whether a daemon runs.
func (d *webhookCmd) daemonAnswers(ctx context.Context) bool {
	running, err := client.Find(d.cmd)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, tryAskDaemon)
	defer cancel()
	err = running.Get(ctx, "/healthz", nil)
	return err == nil || !client.IsUnreachable(err)
}
