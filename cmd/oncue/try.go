package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	"github.com/oncue/oncue/encoders"
)

const (
	tryAskDaemon = time.Second      // how long the daemon has to say whether it uses the encoder
	tryRun       = "try"            // id of the run
	tryStatus    = 10 * time.Second // for one status
)

func newTry() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "try ENCODER start|stop|status",
		Short: "Start, stop or check one encoder by hand, without the daemon",
		Long: "Start, stop or check one encoder of the configuration by hand, without the daemon, to see whether\n" +
			"its settings are right. start really publishes, and leaves the encoder on until oncue try ENCODER stop.\n\n" +
			"With --record, oncue guesses the settings of a box with an HTTP API from what its own web page sent to it:\n" +
			"open the browser's developer tools, press start and stop on the page, and save the network log as HAR, or\n" +
			"copy it as curl lines. Passwords, keys, tokens and cookies become ${NAME}.",
		Example: "  oncue try stage-helo status --verbose\n  oncue try lobby-cam start --stream lobby\n" +
			"  oncue try new-box --record session.har",
		ValidArgsFunction: completeEncoders,
	}
	client.Flags(cmd)
	stream := cmd.Flags().String("stream", "",
		"`NAME` of the stream to publish (default: the first that uses the encoder)")
	verbose := cmd.Flags().BoolP("verbose", "v", false,
		"show requests to the device and its answers, secrets masked")
	recorded := cmd.Flags().String("record", "",
		"guess the settings of an http encoder from a HAR `FILE`, or from curl lines; - is the standard input")
	out := cmd.Flags().String("out", "", "with --record, write settings and exchanges into this `FOLDER`")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if *recorded != "" {
			return argsBetween(1, 1)(cmd, args)
		}
		return argsBetween(2, 2)(cmd, args)
	}
	force := cmd.Flags().Bool("force", false, "continue although the daemon uses the encoder")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *recorded != "" {
			return tryRecord(cmd, *recorded, *out, args[0])
		}
		if !slices.Contains([]string{"start", "stop", "status"}, args[1]) {
			err := fmt.Errorf("%q is not an action; the actions are start, stop and status", args[1])
			return term.Hint(term.Usage(err), "usage: "+cmd.UseLine())
		}
		cfg, err := readConfig(cmd.Flag("config").Value.String(), cmd.ErrOrStderr(), nil)
		if err != nil {
			return err
		}
		t := trial{cmd: cmd, cfg: cfg, name: args[0], Screen: term.NewScreen(cmd.OutOrStdout())}
		if t.job, err = tryJob(cfg, args[0], *stream); err != nil {
			return err
		}
		if args[1] != "status" && !*force {
			if err := t.leftAlone(cmd.Context()); err != nil {
				return err
			}
		}
		if args[1] == "start" {
			if err := t.getToken(cmd.Context()); err != nil {
				return err
			}
		}
		return t.run(cmd.Context(), args[1], *verbose)
	}
	return cmd
}

// trial is one encoder that a person tries.
type trial struct {
	cmd  *cobra.Command
	cfg  *configs.Config
	name string
	job  encoders.Job
	enc  encoders.Encoder
	term.Screen
}

// tryJob is what the encoder is to publish: the named stream, or the first of the configuration
// that uses it.
func tryJob(cfg *configs.Config, encoder, stream string) (encoders.Job, error) {
	var st *configs.Stream
	var job encoders.Job
	if e, ok := cfg.Encoder(encoder); ok && e.Helper {
		job := helperJob(encoder)
		job.Run = tryRun
		return job, nil
	}
	if stream == "" {
		i := slices.IndexFunc(cfg.Streams,
			func(st *configs.Stream) bool { return slices.Contains(st.All(), encoder) })
		if i < 0 {
			return encoders.Job{Name: "try", Run: tryRun, Grace: 10 * time.Second}, nil
		}
		st = cfg.Streams[i]
		job = exampleJob(st, encoder)
	} else {
		account, name, ok := strings.Cut(stream, "/")
		if !ok {
			var err error
			if account, err = onlyAccount(cfg); err != nil {
				return job, err
			}
			name = stream
		}
		found, matches, ok := cfg.Lookup(account, name)
		if !ok {
			return job, fmt.Errorf("%s has no stream %s/%s", cfg.File, account, name)
		}
		st = found
		job = encoders.Job{Account: account, Name: name, Matches: matches, Grace: st.Timing.StopTimeout}
		job.Publish = job.FillSecret(st.PublishBy(encoder).Address(secret.Value{}))
	}
	job.Run = tryRun
	return job, nil
}

// getToken completes the job of a stream with token: auto, as the daemon would.
func (t *trial) getToken(ctx context.Context) error {
	st, _, ok := t.cfg.Lookup(t.job.Account, t.job.Name)
	if !ok || !st.PublishBy(t.name).Auto {
		return nil
	}
	api, err := platformOf(t.cfg.Accounts[st.Account])
	if err != nil {
		return err
	}
	defer api.Close()
	all, err := api.ListTokens(ctx)
	if err != nil {
		return err
	}
	token, err := api.EnsureOwnToken(ctx, daemon.OwnToken(st), all, 0)
	if err != nil {
		return err
	}
	t.job.Publish = t.job.FillSecret(st.PublishBy(t.name).Address(token.Value))
	return nil
}

// leftAlone returns an error while the daemon uses the encoder.
func (t *trial) leftAlone(ctx context.Context) error {
	c, err := client.Find(t.cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tryAskDaemon)
	defer cancel()
	var all term.Status
	if err := c.Get(ctx, "/status", &all); err != nil {
		return nil // no daemon answers; the driver will report a device that is busy
	}
	for _, h := range all.Helpers {
		if h.Name == t.name && h.State != controller.HelperOff {
			return term.Hint(fmt.Errorf("the daemon has the helper %s %s: %s", h.Name, h.State, h.Reason),
				fmt.Sprintf("oncue off %s frees it; --force continues all the same", controller.HelperID(h.Name)))
		}
	}
	for _, s := range all.Streams {
		for _, e := range s.Encoders {
			held := e.Standby != nil && e.Standby.Kind == "hot"
			if e.Name == t.name && e.State.Gone() && held {
				return term.Hint(fmt.Errorf("the daemon holds the input of %s open for %s", t.name, s.ID),
					fmt.Sprintf("oncue off %s lets it go; --force continues all the same", s.Name))
			}
			if e.Name == t.name && !e.State.Gone() {
				return term.Hint(fmt.Errorf("the daemon uses %s for %s (%s)", t.name, s.ID, e.State),
					fmt.Sprintf("oncue off %s frees it; --force continues all the same", s.Name))
			}
		}
	}
	return nil
}

func (t *trial) run(ctx context.Context, what string, verbose bool) error {
	dir, err := tryDir(t.name)
	if err != nil {
		return err
	}
	var done func()
	if t.enc, done, err = daemon.OpenEncoder(t.cfg, t.name, dir); err != nil {
		return err
	}
	defer done()
	if verbose {
		t.showPlan()
		trace(t.enc, t.Screen)
	}
	switch what {
	case "start":
		return t.start(ctx)
	case "stop":
		return t.stop(ctx)
	}
	st, err := t.status(ctx)
	if err != nil {
		return err
	}
	t.showStatus(st)
	if st.State == encoders.StateUnknown {
		return errors.New("the encoder does not report its state")
	}
	return nil
}

// tryDir is where an encoder under trial keeps its files, so that a stop finds what a start left.
// It is private to the person: root keeps nothing in the home of somebody else, though sudo may
// name it, for that person's links would be followed with root's rights.
func tryDir(name string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("a folder for the trial: %w", err)
	}
	if info, err := os.Stat(existing(base)); os.Geteuid() == 0 && (err != nil || !ownedBySelf(info)) {
		base = "/var/cache"
	}
	dir := filepath.Join(base, "oncue", "try", daemon.DeviceDir(name))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("a folder for the trial: %w", err)
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !ownedBySelf(info) {
		return "", errors.Join(err, term.Hint(fmt.Errorf("a folder for the trial: %s is not this user's own", dir),
			"remove it, or set XDG_CACHE_HOME to a folder that is"))
	}
	return dir, nil
}

func (t *trial) showPlan() {
	if p, ok := t.enc.(encoders.Planner); ok {
		for _, line := range p.Plan(t.job) {
			t.Printf("%s\n", t.Paint(term.Faint, "plan: "+term.Harmless(line)))
		}
	}
}

// start tells the encoder to start and waits until the encoder publishes, or fails.
func (t *trial) start(ctx context.Context) error {
	limit := configs.Default().Defaults.StartTimeout
	if st, _, ok := t.cfg.Lookup(t.job.Account, t.job.Name); ok {
		limit = st.Timing.StartTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := t.enc.Start(ctx, t.job); err != nil {
		return fmt.Errorf("start %s: %w", t.name, err)
	}
	t.Printf("the encoder was told to start; waiting until it publishes\n")
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := t.status(ctx)
		switch {
		case ctx.Err() != nil:
			return term.Hint(fmt.Errorf("%s does not publish after %s; it is left as it is", t.name, term.Span(limit)),
				fmt.Sprintf("oncue try %[1]s status --verbose shows its state, oncue try %[1]s stop stops it", t.name))
		case err != nil:
			return err
		case st.State == encoders.StatePublishing:
			t.showStatus(st)
			t.Printf("it stays on until oncue try %s stop\n", t.name)
			return nil
		case st.State == encoders.StateFailed:
			t.showStatus(st)
			t.showLog(ctx)
			return fmt.Errorf("%s failed: %s", t.name, term.Harmless(st.Error))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (t *trial) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(t.job.Grace, time.Second))
	defer cancel()
	if err := t.enc.Stop(ctx, t.job); err != nil {
		return fmt.Errorf("stop %s: %w", t.name, err)
	}
	t.Printf("%s is stopped\n", t.name)
	return nil
}

func (t *trial) status(ctx context.Context) (encoders.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, tryStatus)
	defer cancel()
	st, err := t.enc.Status(ctx, t.job)
	if err != nil {
		return st, fmt.Errorf("status of %s: %w", t.name, err)
	}
	return st, nil
}

func (t *trial) showStatus(st encoders.Status) {
	words := fmt.Sprintf("%s is %s", t.name, st.State)
	if !st.Since.IsZero() {
		words += " since " + term.Clock(st.Since, time.Now())
	}
	if h := term.HealthWords(st.Health); h != "" {
		words += ", " + h
	}
	if st.Error != "" {
		words += ": " + st.Error
	}
	t.Printf("%s\n", term.Harmless(words))
}

// showLog prints the last lines that the encoder wrote.
func (t *trial) showLog(ctx context.Context) {
	l, ok := t.enc.(encoders.Logger)
	if !ok {
		return
	}
	lines, err := l.Log(ctx, 10)
	if err != nil {
		return // the log only adds to the error
	}
	for _, line := range lines {
		t.Printf("  %s\n", term.Harmless(line))
	}
}

// completeEncoders offers the encoders of the configuration, then the actions.
func completeEncoders(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	if len(args) == 1 {
		return []string{"start", "stop", "status"}, nothing
	}
	cfg, _, err := configs.Load(cmd.Flag("config").Value.String(), daemon.DriverSettings())
	if err != nil || len(args) > 1 {
		return nil, nothing
	}
	var names []string
	for _, e := range cfg.Boxes() {
		names = append(names, e.Name+"\t"+e.Driver)
	}
	return names, nothing
}
