package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/encoders"
)

// examineLimit bounds one examination. The round trip through the platform has longer.
const (
	examineLimit   = 20 * time.Second
	roundTripLimit = 40 * time.Second
	examineAtOnce  = 8  // with no limit, many encoders would start hundreds of programs at once
	fewLines       = 20 // a longer report repeats at its end what is broken
)

func newDoctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Try everything: encoders, ffmpeg, API secret, webhook, clock, round trip",
		Long: "Try everything that can be tried without going live: each encoder and its input, the servers that\n" +
			"streams are published to, the platform and its way to this host. Say how to repair what does not work.\n" +
			"oncue try tries publishing itself.\n" +
			"✓ works, ! may be wrong, ✗ is broken; the exit code is 1 when something is broken.",
		Args: noArgs,
	}
	client.Flags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print the findings as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d := doctor{config: cmd.Flag("config").Value.String()}
		d.daemon, d.noDaemon = client.Find(cmd)
		return d.run(cmd.Context(), term.NewScreen(cmd.OutOrStdout()), *asJSON)
	}
	return cmd
}

// doctor examines an installation.
type doctor struct {
	config   string
	daemon   *client.Client
	noDaemon error // why daemon is nil
	quick    bool  // leave out the round trip
	cfg      *configs.Config
}

// finding is one result, and of which examination.
type finding struct {
	Check string `json:"check"`
	encoders.Finding
}

// exam is one examination. Exams do not depend on each other.
type exam struct {
	name  string
	limit time.Duration // 0: examineLimit
	do    func(context.Context) findings
}

func (d *doctor) run(ctx context.Context, s term.Screen, asJSON bool) error {
	var all, broken []finding
	printed := 0
	err := d.examine(ctx, func(f finding) {
		all = append(all, f)
		if f.Level == encoders.Bad {
			broken = append(broken, f)
		}
		if !asJSON && !d.counted(f) {
			showFinding(s, f)
			printed++
		}
	})
	if asJSON {
		out, jsonErr := json.MarshalIndent(map[string]any{"ok": len(broken) == 0, "findings": all}, "", "  ")
		if jsonErr != nil {
			return jsonErr
		}
		if _, jsonErr := fmt.Fprintf(s.Out, "%s\n", out); jsonErr != nil {
			return jsonErr
		}
	}
	if !asJSON && err == nil {
		d.summarize(s, all, broken, printed)
	}
	switch {
	case err != nil:
		return err
	case len(broken) == 1:
		return errors.New("1 thing is broken")
	case len(broken) > 1:
		return fmt.Errorf("%d things are broken", len(broken))
	}
	return nil
}

// counted reports whether a finding is counted instead of printed: of many encoders only those with
// problems get a line.
func (d *doctor) counted(f finding) bool {
	return d.cfg != nil && len(d.cfg.Encoders) > fewLines/2 && f.Level == encoders.OK &&
		strings.HasPrefix(f.Check, "encoder ")
}

// summarize repeats the problems of a long report, and says how to try what doctor does not.
func (d *doctor) summarize(s term.Screen, all, broken []finding, printed int) {
	if d.cfg == nil || len(d.cfg.Encoders) == 0 {
		return
	}
	wrong := map[string]bool{}
	counted := 0
	for _, f := range all {
		if d.counted(f) {
			counted++
		} else if f.Level != encoders.OK {
			wrong[f.Check] = true
		}
	}
	first := d.cfg.Encoders[0].Name
	if counted > 0 {
		fine := slices.DeleteFunc(slices.Clone(d.cfg.Encoders),
			func(e *configs.Encoder) bool { return wrong["encoder "+e.Name] })
		what := good("%d of %d work as far as oncue could try them (--json prints all %s)", len(fine),
			len(d.cfg.Encoders), term.Plural(len(all), "finding"))
		showFinding(s, finding{"encoders", what[0]})
	}
	named := func(st *configs.Stream) bool { return !st.IsPattern && len(st.Encoders) > 0 }
	if i := slices.IndexFunc(d.cfg.Streams, named); i >= 0 {
		first = d.cfg.Streams[i].Encoders[0]
	}
	s.Paragraph("  ", term.Plain,
		fmt.Sprintf("to try it for real: oncue try %s start, then oncue try %s stop", first, first))
	if printed > fewLines && len(broken) > 0 {
		s.Printf("\nbroken:\n")
		for _, f := range broken {
			showFinding(s, f)
		}
	}
}

func showFinding(s term.Screen, f finding) {
	mark, st := "✓", term.Green
	switch f.Level {
	case encoders.Warn:
		mark, st = "!", term.Yellow
	case encoders.Bad:
		mark, st = "✗", term.Red
	}
	s.Paragraph(s.Paint(st, mark)+" ", term.Plain, f.Check+": "+f.What)
	if f.Hint != "" {
		s.Paragraph("  ", term.Plain, "hint: "+f.Hint)
	}
}

// examine runs the exams, some at once, and reports their findings in order. Its error is that of
// ctx.
func (d *doctor) examine(ctx context.Context, tell func(finding)) error {
	for _, f := range d.examineConfig() {
		tell(finding{"config", f})
	}
	if d.cfg == nil {
		return nil
	}
	exams := d.exams(d.inDaemon(ctx))
	results := make([]chan findings, len(exams))
	turns := make(chan struct{}, examineAtOnce)
	for i, e := range exams {
		results[i] = make(chan findings, 1)
		go func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(e.limit, examineLimit))
			defer cancel()
			results[i] <- e.do(ctx)
		}()
	}
	for i, e := range exams {
		select {
		case found := <-results[i]:
			for _, f := range found {
				tell(finding{e.name, f})
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (d *doctor) exams(used map[string]inUse) []exam {
	list := []exam{
		{name: "data dir", do: d.examineDataDir},
		{name: "disk", do: d.examineDisk},
		{name: "sandbox", do: d.examineSandbox},
	}
	add := func(name string, limit time.Duration, do func(context.Context) findings) {
		list = append(list, exam{name, limit, do})
	}
	accounts := slices.Sorted(maps.Keys(d.cfg.Accounts))
	for _, id := range accounts {
		add("account "+id, 0, func(ctx context.Context) findings {
			return d.examineAccount(ctx, d.cfg.Accounts[id])
		})
	}
	for _, id := range accounts {
		if a := d.cfg.Accounts[id]; a.APISecret.Set() {
			add("tokens "+id, 0, func(ctx context.Context) findings { return d.examineTokens(ctx, a) })
			add("regions "+id, 0, func(ctx context.Context) findings { return d.examineRegions(ctx, a) })
		}
	}
	for _, e := range d.cfg.Boxes() {
		what := "encoder "
		if e.Helper {
			what = "helper "
		}
		add(what+e.Name, 0, func(ctx context.Context) findings {
			return d.examineEncoder(ctx, e.Name, used[e.Name])
		})
	}
	for _, i := range ingests(d.cfg) {
		add("publish", 0, i.examine)
	}
	add("public url", 0, d.examinePublicURL)
	add("daemon", 0, d.examineDaemon)
	if d.quick {
		return list
	}
	for _, id := range accounts {
		if a := d.cfg.Accounts[id]; a.APISecret.Set() {
			add("round trip "+id, roundTripLimit, func(ctx context.Context) findings {
				return d.examineRoundTrip(ctx, a)
			})
		}
	}
	return list
}

// findings are what one examination found. Those of good, odd and bad have one.
type findings []encoders.Finding

func (f *findings) add(more findings) { *f = append(*f, more...) }

func good(format string, args ...any) findings {
	return findings{{Level: encoders.OK, What: fmt.Sprintf(format, args...)}}
}

func odd(what, hint string) findings {
	return findings{{Level: encoders.Warn, What: what, Hint: hint}}
}

func bad(what, hint string) findings {
	return findings{{Level: encoders.Bad, What: what, Hint: hint}}
}

func (d *doctor) examineConfig() findings {
	var warnings findings
	cfg, err := daemon.Load(d.config, io.Discard, func(p configs.Problem) {
		warnings = append(warnings, odd(p.String(), "")...)
	})
	var problems configs.Problems
	switch {
	case errors.As(err, &problems):
		var found findings
		for _, p := range problems {
			found.add(bad(p.String(), ""))
		}
		return found
	case err != nil:
		return bad(err.Error(), term.HintFor(err))
	}
	d.cfg = cfg
	found := good("%s is good: %s, %s", d.config,
		term.Plural(len(cfg.Streams), "stream"), term.Plural(len(cfg.Encoders), "encoder"))
	return append(found, warnings...)
}

// examineEncoder has the driver try itself, for the first stream that uses the encoder, and tells
// what the daemon does with it now.
func (d *doctor) examineEncoder(ctx context.Context, name string, by inUse) findings {
	enc, done, err := daemon.OpenEncoder(d.cfg, name, "")
	if err != nil {
		return bad(err.Error(), "")
	}
	defer done()
	var job encoders.Job
	user := slices.IndexFunc(d.cfg.Streams, func(st *configs.Stream) bool { return slices.Contains(st.All(), name) })
	e, _ := d.cfg.Encoder(name)
	switch {
	case e.Helper:
		job = helperJob(name)
	case user >= 0:
		job = exampleJob(d.cfg.Streams[user], name)
	}
	var found findings
	if c, ok := enc.(encoders.Checker); ok {
		found = c.Check(ctx, job)
	}
	if _, ok := encoders.Driver(enc).(encoders.Prober); ok {
		switch {
		case by.stream != "":
			found.add(good("it is on for %s, so its input was not opened once more", by.stream))
		case by.held():
			found.add(good("the daemon holds its input open, so it was not opened once more"))
		default:
			found.add(enc.(encoders.Prober).Probe(ctx, job))
		}
	}
	if b := by.standby; b != nil {
		level := encoders.OK
		if !b.Ready {
			level = encoders.Warn
		}
		found.add(findings{{Level: level, What: "standby: " + term.StandbyWords(b)}})
	}
	if e.Helper {
		return found
	}
	if user < 0 {
		found.add(odd("no stream uses it", ""))
	} else if d.cfg.Streams[user].IsPattern { // the example may name a channel that is not there
		for i := range found {
			if found[i].Level == encoders.Bad {
				found[i].Level = encoders.Warn
				found[i].What = fmt.Sprintf("for the example %s: %s", job.ID(), found[i].What)
			}
		}
	}
	return found
}

// platformOf makes a client for the account's API.
func platformOf(a *configs.Account) (*millicast.Client, error) {
	c, err := millicast.NewClient(millicast.ClientOptions{
		Account: a.ID, URL: a.APIURL, Secret: a.APISecret, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", a.ID, err)
	}
	return c, nil
}
