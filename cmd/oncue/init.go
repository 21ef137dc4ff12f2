package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
)

func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Ask for the few things needed, write a configuration, try it",
		Long: "Ask for the few things needed, write a commented configuration that only its owner can read, try it,\n" +
			"and print the webhook's URL.\n" +
			"Answers given by flags or the environment are not asked for. Secrets may be given as @FILE.",
		Args: noArgs,
	}
	path := client.ConfigFlag(cmd)
	var a answers
	flags := cmd.Flags()
	flags.StringVar(&a.account, "account", "", "account `ID` at the platform")
	webhookSecret := flags.String("webhook-secret", "", "the webhook's `SECRET`, or @FILE (or ONCUE_WEBHOOK_SECRET)")
	apiSecret := flags.String("api-secret", "",
		"the account's API `SECRET`, or @FILE (or ONCUE_API_SECRET); none: the platform is never asked")
	flags.StringVar(&a.publicURL, "public-url", "", "https `URL` by which the platform reaches this host")
	flags.StringVar(&a.stream, "stream", "", "`NAME` of the first stream")
	publish := flags.String("publish", "", "publishing `TOKEN` or whole URL of the stream, or @FILE (or ONCUE_PUBLISH)")
	flags.StringVar(&a.input, "input", "",
		"what FFmpeg reads: a `URL`, file or device; test for a test picture, obs for an OBS on this host")
	flags.StringVar(&a.dataDir, "data-dir", configs.Default().DataDir, "`DIR` for the database and logs")
	force := flags.Bool("force", false, "replace a configuration that is there")
	try := flags.Bool("doctor", false, "run oncue doctor at the end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := os.Stat(*path); err == nil && !*force {
			return term.Hint(fmt.Errorf("%s exists already", *path),
				"--force replaces it, --config FILE writes another one")
		}
		for _, s := range []struct {
			to         *secret.Value
			given, env string
		}{
			{&a.webhookSecret, *webhookSecret, "ONCUE_WEBHOOK_SECRET"}, {&a.apiSecret, *apiSecret, "ONCUE_API_SECRET"},
			{&a.publish, *publish, "ONCUE_PUBLISH"},
		} {
			var err error
			if *s.to, err = givenSecret(s.given, s.env); err != nil {
				return err
			}
		}
		if err := a.filled().refuse(*path, cmd.ErrOrStderr()); err != nil {
			return err
		}
		if err := a.ask(newAsker(cmd), flags.Changed); err != nil {
			return err
		}
		if err := a.write(*path, *force, cmd.ErrOrStderr()); err != nil {
			return err
		}
		a.farewell(cmd.OutOrStdout(), *path)
		if !*try {
			return nil
		}
		d := doctor{config: *path}
		d.daemon, d.noDaemon = client.Find(cmd)
		return d.run(cmd.Context(), term.NewScreen(cmd.OutOrStdout()), false)
	}
	return cmd
}

// answers are what a configuration needs at least.
type answers struct {
	account, publicURL, stream, input, dataDir string
	webhookSecret, apiSecret, publish          secret.Value
}

// ask asks for what is not known yet, and repeats the question while an answer is wrong. Given
// reports whether a flag was set, even to nothing.
func (a *answers) ask(q *asker, given func(flag string) bool) error {
	text := func(to *string, flag, question, otherwise string, check func(string) error) error {
		if *to != "" || given(flag) {
			return nil // checked already
		}
		return q.ask(to, flag, question, otherwise, func(answer string) error {
			*to = answer
			return cmp.Or(check(answer), a.wrong())
		})
	}
	secretly := func(to *secret.Value, flag, question string, check func(string) error) error {
		if to.Set() || given(flag) {
			return nil
		}
		return q.askSecret(to, flag, question, func(answer secret.Value) error {
			*to = answer
			return cmp.Or(check(answer.Reveal()), a.wrong())
		})
	}
	if err := text(&a.account, "account", "Account id at the platform", "", needed); err != nil {
		return err
	}
	if !a.apiSecret.Set() { // with one, oncue makes the webhook
		question := "Secret of the webhook, as the platform shows it (Enter: oncue makes the webhook, by the API secret)"
		if given("api-secret") {
			question = "Secret of the webhook, as the platform shows it"
		}
		err := secretly(&a.webhookSecret, "webhook-secret", question, func(answer string) error {
			if given("api-secret") || q.ended() {
				return needed(answer)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	question, check := "API secret of the account (Enter for none)", anything
	if !a.webhookSecret.Set() {
		question, check = "API secret of the account", needed
	}
	if err := secretly(&a.apiSecret, "api-secret", question, check); err != nil {
		return err
	}
	question, check = "https URL by which the platform reaches this host (Enter if not known yet)", anything
	if !a.webhookSecret.Set() {
		question, check = "https URL by which the platform reaches this host", needed
	}
	if err := text(&a.publicURL, "public-url", question, "", check); err != nil {
		return err
	}
	if err := text(&a.stream, "stream", "Name of the first stream", "", needed); err != nil {
		return err
	}
	if err := text(&a.input, "input",
		"What FFmpeg reads: URL, file or device; test for a test picture; obs for an OBS on this host", "test",
		anything); err != nil {
		return err
	}
	if a.input == "obs" {
		return nil
	}
	question, check = "Publishing token of the stream, or its whole publishing URL", needed
	if a.apiSecret.Set() {
		question, check = question+" (Enter: oncue makes a token)", anything
	}
	return secretly(&a.publish, "publish", question, check)
}

func needed(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("it is needed")
	}
	return nil
}

func anything(string) error { return nil }

// wrong is the first problem of the answers so far.
func (a *answers) wrong() error {
	if problems := a.filled().problems(""); len(problems) > 0 {
		return errors.New(problems[0].Text)
	}
	return nil
}

// filled has a valid stand-in for each answer that is not given yet.
func (a *answers) filled() *answers {
	whole := *a
	for text, standIn := range map[*string]string{
		&whole.account: "ACCOUNT", &whole.stream: "stream", &whole.input: "test",
	} {
		*text = cmp.Or(*text, standIn)
	}
	if !whole.webhookSecret.Set() {
		whole.webhookSecret = secret.New("c3RhbmQtaW4tZm9yLXRoZS1zZWNyZXQ=")
	}
	if !whole.publish.Set() && whole.input != "obs" && !whole.apiSecret.Set() {
		whole.publish = secret.New("stand-in")
	}
	return &whole
}

// problems are those of the configuration that the answers make.
func (a *answers) problems(path string) configs.Problems {
	_, _, err := configs.Options{Drivers: daemon.DriverSettings()}.Parse(path, a.yaml(false))
	var problems configs.Problems
	errors.As(err, &problems)
	if strings.Contains(a.stream, "://") {
		problems = append(problems, configs.Problem{
			File: path, Line: 1, Col: 1, Key: "streams",
			Text: "this is a URL; the stream's name is a word such as lobby",
		})
	}
	return problems
}

// refuse prints what is wrong with the answers.
func (a *answers) refuse(path string, errs io.Writer) error {
	problems := a.problems(path)
	if len(problems) == 0 {
		return nil
	}
	for _, p := range problems {
		fmt.Fprintln(errs, p)
	}
	return term.Hint(errors.New("these answers make no valid configuration; nothing was written"),
		"the keys in the lines above say which answer is meant")
}

// write makes the file, tries it, and only then puts it in place.
func (a *answers) write(path string, replace bool, errs io.Writer) error {
	_, socket := daemon.Packaged(path)
	text := a.yaml(socket)
	if err := a.refuse(path, errs); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := writeNew(path, text, replace); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return term.Hint(fmt.Errorf("write the configuration: %w", err),
				"use sudo, or --config FILE for another place")
		}
		return fmt.Errorf("write the configuration: %w", err)
	}
	if gid, ok := daemon.Packaged(path); ok { // the daemon runs as a user of its own, which must read the file
		if err := errors.Join(os.Chown(path, -1, gid), os.Chmod(path, 0o640)); err != nil {
			return fmt.Errorf("let the group oncue read the configuration: %w", err)
		}
	}
	return nil
}

// yaml is the configuration, with comments for a newcomer.
func (a *answers) yaml(socket bool) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# oncue: written by oncue init. oncue check tells what it means; all keys: oncue check --schema.")
	line("# ${NAME} is a variable of the environment, ${file:PATH} the first line of a file, $$ a dollar sign: " +
		"secrets are better kept there than here.")
	line("")
	if socket {
		line("listen: systemd                   # for the platform's webhooks: oncue.socket holds the port, " +
			"127.0.0.1:8080")
	} else {
		line("listen: \":8080\"                   # for the platform's webhooks")
	}
	if socket {
		line("admin:                            # status, dashboard (oncue dashboard prints a link), oncue's own " +
			"commands")
		line("  listen: \"127.0.0.1:8081\"\n  token: \"${file:/etc/oncue/admin.token}\"\n  socket: " +
			"/run/oncue/admin.sock")
	} else {
		line("admin: {listen: \"127.0.0.1:8081\"} # status, dashboard, oncue's own commands")
	}
	line("data_dir: %s", quoteYAML(a.dataDir))
	if a.publicURL != "" {
		line("public_url: %s   # the webhook is this + %s", quoteYAML(a.publicURL), millicast.HookPath)
	} else {
		line("# public_url: https://hooks.example.com   # by which the platform reaches listen")
	}
	line("\naccounts:\n  %s:", quoteKey(a.account))
	if a.webhookSecret.Set() {
		line("    webhook_secrets: [%s]", quoteYAML(a.webhookSecret.Reveal()))
	}
	if a.apiSecret.Set() {
		line("    api_secret: %s", quoteYAML(a.apiSecret.Reveal()))
		if a.publicURL != "" {
			line("    manage_webhook: true      # make and repair the webhook")
		}
	} else {
		line("    # api_secret: ...         # lets oncue ask the platform what is live, and look after the webhook")
	}
	line("\nencoders:\n  main:")
	switch a.input {
	case "obs":
		line("    obs: {address: \"127.0.0.1:4455\", password: \"\", set_service: %t}   # Tools > WebSocket "+
			"Server Settings",
			a.publish.Set())
	case "test":
		line("    ffmpeg: {input: test}     # a test picture; replace it by the URL of a camera: rtsp://...")
	default:
		line("    ffmpeg: {input: %s}", quoteYAML(a.input))
	}
	line("\nstreams:\n  %s:", quoteKey(a.stream))
	line("    encoder: main")
	switch p := a.publish.Reveal(); {
	case strings.Contains(p, "://"):
		line("    publish: %s", quoteYAML(p))
	case p != "":
		line("    publish: {token: %s}", quoteYAML(p))
	case a.apiSecret.Set() && a.input != "obs":
		line("    publish: {token: auto}    # oncue makes the publishing token, and keeps it")
	}
	line("    idle_timeout: 60s         # how long to stay on when nobody watches, after the platform's own 60 s")
	return b.Bytes()
}

// quoteYAML writes a value so that YAML reads it as it is, and no reference is seen in it.
func quoteYAML(s string) string { return quoteKey(strings.ReplaceAll(s, "$", "$$")) }

// quoteKey is quoteYAML for keys, in which the loader looks for no references.
func quoteKey(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

// farewell says what to do next.
func (a *answers) farewell(out io.Writer, path string) {
	fmt.Fprintf(out, "%s is written and valid.\n\n", path)
	url := "https://YOUR-HOST" + millicast.HookPath
	if a.publicURL != "" {
		url = millicast.HookURL(a.publicURL)
	}
	fmt.Fprintf(out, "the webhook: %s\n", url)
	if a.apiSecret.Set() && a.publicURL != "" {
		fmt.Fprintf(out, "  the daemon makes it by itself (manage_webhook: true)\n")
	} else {
		fmt.Fprintf(out, "  enter it at the platform, with viewer hooks and feed hooks\n")
	}
	where := ""
	if path != configs.DefaultFile {
		where = " --config " + path
	}
	if _, ok := daemon.Packaged(path); ok {
		fmt.Fprint(out, "\nnext: oncue doctor\n      systemctl restart oncue\n")
		return
	}
	fmt.Fprintf(out, "\nnext: oncue doctor%s\n      oncue serve%s   (or: systemctl enable --now oncue)\n", where, where)
}

// asker asks a person, on a terminal or line by line.
type asker struct {
	lines    *bufio.Reader
	out      io.Writer
	terminal *os.File // nil: not one
}

func newAsker(cmd *cobra.Command) *asker {
	q := &asker{lines: bufio.NewReader(cmd.InOrStdin()), out: cmd.ErrOrStderr()}
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(f) {
		q.terminal = f
	}
	return q
}

// ended reports whether no more answers come.
func (q *asker) ended() bool {
	if q.terminal != nil {
		return false
	}
	_, err := q.lines.Peek(1)
	return err != nil
}

// ask asks until the answer passes check; without a terminal the first one must. An empty answer
// means otherwise.
func (q *asker) ask(to *string, flag, question, otherwise string, check func(string) error) error {
	for {
		prompt := question
		if otherwise != "" {
			prompt += " [" + otherwise + "]"
		}
		fmt.Fprintf(q.out, "%s: ", prompt)
		line, err := q.lines.ReadString('\n')
		*to = cmp.Or(strings.TrimSpace(line), otherwise)
		if wrong := check(*to); wrong == nil && (err == nil || err == io.EOF) {
			return nil
		} else if err != nil || q.terminal == nil {
			fmt.Fprintln(q.out)
			err := fmt.Errorf("%s: %w", subject(question), cmp.Or(wrong, err))
			return term.Hint(term.Usage(err), "answer on a terminal, or with --"+flag)
		} else {
			fmt.Fprintf(q.out, "  %v\n", wrong)
		}
	}
}

// subject is what a question asks for, as an error begins with it.
func subject(question string) string {
	what, _, _ := strings.Cut(question, " (Enter")
	if strings.HasPrefix(what, "API") {
		return what
	}
	return strings.ToLower(what[:1]) + what[1:]
}

// askSecret is ask without an echo.
func (q *asker) askSecret(to *secret.Value, flag, question string, check func(secret.Value) error) error {
	checked := func(s string) error { return check(secret.New(s)) }
	if q.terminal == nil {
		var text string
		err := q.ask(&text, flag, question, "", checked)
		*to = secret.New(text)
		return err
	}
	for {
		fmt.Fprintf(q.out, "%s (not shown): ", question)
		text, err := xterm.ReadPassword(int(q.terminal.Fd()))
		fmt.Fprintln(q.out)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		*to = secret.New(strings.TrimSpace(string(text)))
		if wrong := check(*to); wrong == nil {
			return nil
		} else {
			fmt.Fprintf(q.out, "  %v\n", wrong)
		}
	}
}
