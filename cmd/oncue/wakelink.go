package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs/words"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/web"
)

func newWakeLink() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wake-link STREAM",
		Short: "Make a link by which a page asks for a stream",
		Long: "Make a link by which a page asks for a stream before its viewer presses play, and print its parts.\n" +
			"It is signed with wake.secret of the configuration. Sites make their own: see configs/docs/wake-links.md.",
		Example:           "  oncue wake-link lobby --for 10m",
		Args:              argsBetween(1, 1),
		ValidArgsFunction: completeStreams,
	}
	path := client.ConfigFlag(cmd)
	lasts := durationFlag(10 * time.Minute)
	cmd.Flags().Var(&lasts, "for", "valid for this `DURATION`, at most 24h")
	asJSON := cmd.Flags().Bool("json", false, "print it for programs")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d := time.Duration(lasts)
		if d <= 0 || d > web.MaxWakeLink {
			return term.Usage(fmt.Errorf("--for %s: a link lasts more than 0s and at most 24h", words.FormatDuration(d)))
		}
		cfg, err := readConfig(*path, cmd.ErrOrStderr(), nil)
		if err != nil {
			return err
		}
		if !cfg.Wake.Secret.Set() {
			return term.Hint(errors.New("wake links are off: wake.secret is not set"),
				"write wake: {secret: \"${WAKE_SECRET}\", origins: [https://example.com]} into "+cfg.File)
		}
		account, name, whole := strings.Cut(args[0], "/")
		if !whole {
			name = args[0]
			if account, err = onlyAccount(cfg); err != nil {
				return err
			}
		}
		if _, _, ok := cfg.Lookup(account, name); !ok {
			return term.Hint(fmt.Errorf("no stream %q", term.Harmless(args[0])), "oncue check lists them")
		}
		id, end := controller.JoinID(account, name), time.Now().Add(d)
		exp := strconv.FormatInt(end.Unix(), 10)
		link := struct {
			URL    string `json:"url"`
			Base   string `json:"base"`
			Stream string `json:"stream"`
			Exp    int64  `json:"exp"`
			Sig    string `json:"sig"`
		}{Base: cfg.PublicURL, Stream: string(id), Exp: end.Unix(), Sig: web.SignWake(cfg.Wake.Secret, id, exp)}
		if link.Base == "" {
			link.Base = "https://HOST"
			fmt.Fprintln(cmd.ErrOrStderr(), "warning: public_url is not set; HOST stands for the address of listen")
		}
		link.URL = link.Base + web.WakePath(id) + "?exp=" + exp + "&sig=" + link.Sig
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(link)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "POST %s\n\nstream  %s\nexp     %s  (until %s)\nsig     %s\n", link.URL,
			term.Harmless(link.Stream), exp, term.Clock(end, time.Now()), link.Sig)
		return err
	}
	return cmd
}
