package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/encoders"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration; print what would run",
		Long: "Read the configuration and report every problem as FILE:LINE:COL: key: what is wrong.\n" +
			"Print a valid one as it would run: each stream, its encoders with their command lines (secrets\n" +
			"masked), and the times that differ from the built-in ones, with the line that sets each.",
		Args: noArgs,
	}
	path := client.ConfigFlag(cmd)
	schema := cmd.Flags().Bool("schema", false, "print the JSON Schema of the configuration, for editors")
	verbose := cmd.Flags().BoolP("verbose", "v", false, "print all times, the built-in ones as well")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *schema {
			_, err := cmd.OutOrStdout().Write(configs.Schema(daemon.DriverSettings()))
			return err
		}
		refused := 0
		cfg, err := readConfig(*path, cmd.ErrOrStderr(), func(p configs.Problem) {
			if p.Refused {
				refused++
				p.Warning = false
			}
			fmt.Fprintln(cmd.ErrOrStderr(), p)
		})
		if err != nil {
			return err
		}
		s := planPage{term.NewScreen(cmd.OutOrStdout())}
		if err := s.plan(cfg, *verbose); err != nil {
			return err
		}
		s.planReload(cmd, cfg)
		if refused > 0 {
			return fmt.Errorf("%s has %s", *path, term.Plural(refused, "problem"))
		}
		s.good(cfg)
		return nil
	}
	return cmd
}

// readConfig is daemon.Load for commands that start nothing. Warnings go to warn, where they are
// the matter; else it is nil.
func readConfig(path string, errs io.Writer, warn func(configs.Problem)) (*configs.Config, error) {
	if warn == nil { // nothing is served, so a certificate that only the daemon may read is no matter
		if cfg, _, err := configs.Load(path, daemon.DriverSettings()); err == nil {
			return cfg, nil
		}
	}
	var printed bytes.Buffer
	cfg, err := daemon.Load(path, &printed, func(p configs.Problem) {
		if warn != nil {
			warn(p)
		}
	})
	var problems configs.Problems
	if !errors.As(err, &problems) {
		return cfg, err
	}
	for _, p := range problems {
		fmt.Fprintln(errs, p)
	}
	fmt.Fprintf(errs, "error: %s has %s\n", path, term.Plural(len(problems), "problem"))
	if _, text, ok := strings.Cut(printed.String(), "\nhint: "); ok {
		fmt.Fprintf(errs, "hint: %s", text)
	}
	return nil, term.Said(err)
}

// planPage is where a plan is printed.
type planPage struct{ term.Screen }

// plan prints what would run. It returns an error when an encoder cannot be opened.
func (s planPage) plan(cfg *configs.Config, verbose bool) error {
	s.planHost(cfg)
	for _, id := range slices.Sorted(maps.Keys(cfg.Accounts)) {
		s.planAccount(cfg, cfg.Accounts[id])
	}
	var failed []error
	for _, h := range cfg.Helpers {
		if err := s.planHelper(cfg, h); err != nil {
			failed = append(failed, err)
		}
	}
	for i, p := range cfg.Plan() {
		if err := s.planStream(cfg, cfg.Streams[i], p, verbose); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// good ends the plan, because a person sees the last lines of a long one.
func (s planPage) good(cfg *configs.Config) {
	s.Printf("%s is good: %s, %s, %s\n", cfg.File, term.Plural(len(cfg.Streams), "stream"),
		term.Plural(len(cfg.Encoders), "encoder"), term.Plural(len(cfg.Accounts), "account"))
}

func (s planPage) item(key, format string, args ...any) {
	s.Printf("  %-22s %s\n", key, term.Harmless(fmt.Sprintf(format, args...)))
}

func (s planPage) planHost(cfg *configs.Config) {
	s.Printf("%s\n", s.Paint(term.Bold, "host"))
	scheme := "plain HTTP, for a proxy or tunnel in front"
	switch {
	case len(cfg.TLS.ACME.Domains) > 0:
		scheme = "HTTPS, certificate by ACME for " + strings.Join(cfg.TLS.ACME.Domains, ", ")
	case cfg.TLS.On():
		scheme = "HTTPS, certificate " + cfg.TLS.CertFile
	}
	s.item("listen", "%s (%s)", cfg.Listen, scheme)
	token := "no token"
	if cfg.Admin.Token.Set() {
		token = "with a token"
	}
	s.item("admin", "%s (%s)", cfg.Admin.Listen, token)
	if cfg.Admin.Socket != "" {
		s.item("", "unix:%s", cfg.Admin.Socket)
	}
	s.item("data_dir", "%s", cfg.DataDir)
	s.item("on_exit", "%s", cfg.OnExit)
	if cfg.PublicURL == "" {
		s.item("webhook", "public_url is not set; enter https://YOUR-HOST%s at the platform", millicast.HookPath)
	} else {
		s.item("webhook", "%s", millicast.HookURL(cfg.PublicURL))
	}
	if n := cfg.Limits.Running; n > 0 {
		s.item("limits.running", "%d", n)
	}
	if n := cfg.Limits.Cost; n > 0 {
		s.item("limits.cost", "%d", n)
	}
	s.Printf("\n")
}

func (s planPage) planAccount(cfg *configs.Config, a *configs.Account) {
	s.Printf("%s\n", s.Paint(term.Bold, "account "+term.Harmless(a.ID)))
	s.item("webhook_secrets", "%d", len(a.WebhookSecrets))
	if a.APISecret.Set() {
		s.item("api", "%s, asked every %s", a.APIURL, term.Span(a.PollInterval))
		care := "left to people (manage_webhook: false)"
		if a.ManageWebhook {
			care = "created and repaired by oncue"
		}
		s.item("webhook", "%s", care)
	} else {
		s.item("api", "none: without api_secret, oncue knows what is live from hooks alone")
		if byFeed(cfg, a.ID) {
			s.item("note", "confirm: feed needs feed hooks; the webhook must send them as well as viewer hooks")
		}
	}
	s.Printf("\n")
}

// byFeed reports whether a stream of the account counts as live only when the platform says so.
func byFeed(cfg *configs.Config, account string) bool {
	return slices.ContainsFunc(cfg.Streams,
		func(st *configs.Stream) bool { return st.Account == account && st.Timing.Confirm == "feed" })
}

func (s planPage) planHelper(cfg *configs.Config, h *configs.Encoder) error {
	s.Printf("%s (%s, line %d)\n", s.Paint(term.Bold, "helper "+h.Name), h.Driver, h.Line)
	s.item("linger", "%s", term.Span(h.Linger))
	s.item("ready_timeout", "%s", term.Span(h.ReadyTimeout))
	lines, err := planEncoder(cfg, h.Name, helperJob(h.Name))
	for _, line := range lines {
		s.Printf("    %s\n", term.Harmless(line))
	}
	s.Printf("\n")
	if err != nil {
		return fmt.Errorf("helper %s: %w", h.Name, err)
	}
	return nil
}

// helperJob is the job of a helper outside the daemon.
func helperJob(name string) encoders.Job {
	return encoders.Job{Account: controller.HelperAccount, Name: name, Grace: 10 * time.Second}
}

func (s planPage) planStream(cfg *configs.Config, st *configs.Stream, p configs.StreamPlan, verbose bool) error {
	kind := "stream "
	if p.Pattern {
		kind = "pattern "
	}
	s.Printf("%s (line %d)\n", s.Paint(term.Bold, kind+term.Harmless(p.ID)), p.Line)
	var failed []error
	for _, e := range p.Encoders {
		role := "encoder"
		if e.Cover {
			role = "cover"
		}
		s.item(role, "%s (%s, line %d)", e.Name, e.Driver, e.Line)
		if len(e.Needs) > 0 {
			s.item("needs", "%s", strings.Join(e.Needs, ", then "))
		}
		for _, url := range e.Publish {
			s.item("publish", "%s", url)
		}
		job := exampleJob(st, e.Name)
		lines, err := planEncoder(cfg, e.Name, job)
		if err != nil {
			failed = append(failed, fmt.Errorf("stream %s: encoder %s: %w", p.ID, e.Name, err))
		}
		for _, line := range lines {
			s.Printf("    %s\n", term.Harmless(line))
		}
	}
	for _, k := range p.Keys {
		if verbose || k.Origin.Line > 0 {
			s.item(k.Key, "%-10s %s", k.Value, k.Origin)
		}
	}
	s.Printf("\n")
	return errors.Join(failed...)
}

// standIn is shown where a token will be that the platform has not given yet.
const standIn = "TOKEN"

// exampleJob is a job of the stream for one of its encoders, or of a pattern's the one whose
// wildcards matched an x each.
func exampleJob(st *configs.Stream, encoder string) encoders.Job {
	job := encoders.Job{Account: st.Account, Name: st.Name, Grace: st.Timing.StopTimeout}
	if st.IsPattern {
		job.Name = strings.NewReplacer("*", "x", "?", "x").Replace(st.Name)
		job.Matches, _ = st.Match(st.Account, job.Name)
	}
	job.Publish = job.FillSecret(st.PublishBy(encoder).Address(secret.New(standIn)))
	return job
}

// planEncoder is what a start would do.
func planEncoder(cfg *configs.Config, name string, job encoders.Job) ([]string, error) {
	enc, done, err := daemon.OpenEncoder(cfg, name, "")
	if err != nil {
		return nil, err
	}
	defer done()
	if p, ok := enc.(encoders.Planner); ok {
		return p.Plan(job), nil
	}
	return nil, nil
}
