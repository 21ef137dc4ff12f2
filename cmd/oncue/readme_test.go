package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs"
)

func readme(t *testing.T) string {
	t.Helper()
	return sourceText(t, "README.md")
}

// sourceText reads a file by its path in the repository.
func sourceText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks lists the fenced blocks of a kind.
func blocks(text, kind string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// elsewhere are the README's commands that need root, apt or systemd. They run in the tests of .ci
// and systemd; here, what they name is looked for.
var elsewhere = map[string]struct{ file, has string }{
	"bash .ci/run":                       {".ci/run", "exec make test"},
	"make deb":                           {"Makefile", "\ndeb: "},
	"apt-get install ./dist/oncue_*.deb": {"Makefile", "'$(DIST)/oncue_$(VERSION)_"},
	"systemctl restart oncue":            {"systemd/oncue.service", "\nExecStart="},
}

// readmeConfig is for the daemon that the README's commands ask: its streams and encoders have the
// README's names.
const readmeConfig = `listen: "@HOOKS@"
admin: {listen: "@ADMIN@"}
data_dir: data
on_exit: stop
public_url: http://@HOOKS@
accounts:
  ABC123: {webhook_secrets: ["@HOOK_SECRET@"], api_secret: "@API_SECRET@", api_url: "@API_URL@"}
encoders:
  lobby-cam: {fake: {start_delay: 200ms}}
  words: {ffmpeg: {binary: /bin/sh, args: ["-c", "echo on air >&2; exec sleep 600"]}}
  stage:
    http:
      url: http://@BOX@
      start: {method: POST, path: /api/start}
      stop: {method: POST, path: /api/stop}
      status: {path: /api/state, live: body.on, stopped: not body.on}
streams:
  lobby: {encoders: [words, lobby-cam]}
  stage: {encoder: stage}
`

const readmeBegin = `freeport HOOKS ADMIN
platform http://$HOOKS/hooks/millicast
box BOX
expand c.yaml
env ONCUE_ADMIN=http://$ADMIN
exec oncue serve --config c.yaml &daemon&
waitfor '^ABC123/lobby' oncue status
waitfor ' yes +on ' oncue webhook list --config c.yaml
exec oncue webhook test ViewerConnection --config c.yaml
exec oncue on lobby
waitfor 'on air' oncue logs lobby
exec oncue auto lobby
waitfor '^ABC123/lobby +idle' oncue status
`

const readmeEnd = `kill -INT daemon
wait daemon
-- answers.txt --
ABC123
MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3


stage
test
rtmp://127.0.0.1:1935/v2/pub/{stream}?token=x
-- c.yaml --
` + readmeConfig

// TestReadmeCommands runs the commands that the README shows, in its order, as they are printed but
// for --config.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	var script strings.Builder
	for _, block := range blocks(readme(t), "sh") {
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if place, ok := elsewhere[line]; ok {
				if !strings.Contains(sourceText(t, place.file), place.has) {
					t.Errorf("%s: %s has no %q", line, place.file, place.has)
				}
				continue
			}
			args := wordsOf(line)
			rest, fromSource := strings.CutPrefix(line, "go run ./cmd/oncue ")
			if fromSource {
				args = append([]string{"oncue"}, wordsOf(rest)...)
			}
			switch {
			case args[0] != "oncue":
				t.Errorf("%q is neither run here nor listed as run elsewhere", line)
			case args[1] == "demo": // package systemtest runs it
			case line == "oncue serve": // is what all others ask
			case args[1] == "init":
				fmt.Fprintf(&script, "stdin answers.txt\nexec %s --config made/oncue.yaml\n", quoted(args))
			case slices.Contains(args, "--follow"):
				fmt.Fprintf(&script, "until . %s\n", quoted(append(args, takesConfig(t, args)...)))
			default:
				fmt.Fprintf(&script, "exec %s\n", quoted(append(args, takesConfig(t, args)...)))
			}
		}
	}
	if strings.Count(script.String(), "\n") < 15 {
		t.Fatalf("the README shows few commands:\n%s", script.String())
	}
	dir := t.TempDir()
	whole := readmeBegin + script.String() + readmeEnd
	if err := os.WriteFile(filepath.Join(dir, "commands.txt"), []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport": freePorts, "expand": expand, "waitfor": waitFor, "platform": startPlatform, "box": startBox,
			"until": untilPrinted,
		},
	})
}

// wordsOf splits a command as a shell does, as far as the README needs it.
func wordsOf(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|\S+`).FindAllStringSubmatch(line, -1) {
		if strings.HasPrefix(m[0], `"`) {
			out = append(out, m[1])
		} else {
			out = append(out, m[0])
		}
	}
	return out
}

func quoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = "'" + strings.ReplaceAll(a, "'", "''") + "'"
	}
	return strings.Join(out, " ")
}

// takesConfig is the flag that stands for the file in /etc, for a command that reads it.
func takesConfig(t *testing.T, args []string) []string {
	t.Helper()
	cmd, _, err := newRoot().Find(args[1:])
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	if cmd.Flag("config") == nil {
		return nil
	}
	return []string{"--config", "c.yaml"}
}

// untilPrinted runs an endless command, and ends it as Ctrl-C does once it has printed a line:
// until PATTERN COMMAND ARG...
func untilPrinted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND ARG...")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	var errs bytes.Buffer
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), &errs
	for _, name := range []string{"HOME", "PATH", "TMPDIR", "ONCUE_ADMIN", "TZ"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	limit := time.AfterFunc(waitLimit, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	var printed strings.Builder
	found := false
	for lines := bufio.NewScanner(out); !found && lines.Scan(); {
		fmt.Fprintln(&printed, lines.Text())
		found = pattern.MatchString(lines.Text())
	}
	if found {
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			ts.Fatalf("%v", err)
		}
	}
	_, _ = io.Copy(io.Discard, out) // until it has ended
	err = cmd.Wait()
	ts.Logf("%s%s", printed.String(), errs.String())
	if !found || err != nil {
		ts.Fatalf("%s: printed %q: %v, then %v", strings.Join(args[1:], " "), args[0], found, err)
	}
}

// TestReadmeConfigurations loads every YAML block of README and configs/docs. Parts are completed
// by what a whole file needs; files of other programs begin with their name in a comment.
func TestReadmeConfigurations(t *testing.T) {
	t.Parallel()
	all := blocks(readme(t), "yaml")
	if len(all) < 4 {
		t.Errorf("the README has %d configurations only", len(all))
	}
	pages, err := filepath.Glob("../../configs/docs/*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("the pages are %v: %v", pages, err)
	}
	for _, page := range pages {
		all = append(all, blocks(sourceText(t, filepath.Join("configs/docs", filepath.Base(page))), "yaml")...)
	}
	for _, text := range all {
		if strings.HasPrefix(text, "# ") {
			continue
		}
		var parts map[string]map[string]yaml.Node
		var top map[string]yaml.Node
		if err := yaml.Unmarshal([]byte(text), &top); err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		whole := text
		add := func(part, format string, args ...any) {
			if _, ok := top[part]; !ok {
				whole += part + ":\n" + fmt.Sprintf(format, args...)
			}
		}
		add("accounts", "  ABC123: {webhook_secrets: [%s]}\n", exampleSecret.Reveal())
		named := regexp.MustCompile(`\b(main|backup|cam)\b`).FindAllString(text, -1)
		if len(named) == 0 {
			named = []string{"lobby-cam"}
		}
		add("encoders", "  %s: {fake: {}}\n",
			strings.Join(slices.Compact(slices.Sorted(slices.Values(named))), ": {fake: {}}\n  "))
		_ = yaml.Unmarshal([]byte(whole), &parts) // only mappings of mappings are wanted
		streams := ""
		for name := range parts["encoders"] {
			streams += fmt.Sprintf("  of-%s: {encoder: %s, publish: \"rtmps://example.com/app/{stream}\"}\n", name,
				name)
		}
		add("streams", "%s", streams)
		_, warnings, err := suppliedOptions().Parse("README.md", []byte(whole))
		if err != nil || slices.ContainsFunc(warnings, func(p configs.Problem) bool { return !p.Note }) {
			t.Errorf("%v %v\n%s", err, warnings, whole)
		}
	}
}

// TestReadmeMetrics holds the README's metrics against those of the code.
func TestReadmeMetrics(t *testing.T) {
	t.Parallel()
	named, real := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile("`(oncue_[a-z_]+)(?:\\{[a-z,]+\\})?`").FindAllStringSubmatch(readme(t), -1) {
		named[m[1]] = true
	}
	for _, file := range []string{"controller/web/metrics.go", "controller/web/collector.go"} {
		for _, m := range regexp.MustCompile(`"(oncue_[a-z_]+)"`).FindAllStringSubmatch(sourceText(t, file), -1) {
			real[m[1]] = true
		}
	}
	if len(real) < 25 {
		t.Errorf("only %d metrics were found: have they moved?", len(real))
	}
	for name := range named {
		if !real[name] {
			t.Errorf("the README names %s, which is no metric", name)
		}
	}
	for name := range real {
		if !named[name] {
			t.Errorf("the README does not name the metric %s", name)
		}
	}
}

// peoplesPages are what the repository has for people to read, beside the code.
var peoplesPages = []string{"README.md", "CHANGELOG.md", "SECURITY.md", ".github/CONTRIBUTING.md"}

// TestLinks wants a file, folder or heading at the end of every link into the repository, and the
// README short.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, page := range peoplesPages {
		text := sourceText(t, page)
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: a link leads nowhere: %v", page, err)
			}
		}
		for _, m := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(anchors(text), m[1]) {
				t.Errorf("%s: no heading has the anchor #%s", page, m[1])
			}
		}
	}
	if n := strings.Count(readme(t), "\n"); n > 330 {
		t.Errorf("the README has %d lines; at most 330 are wanted", n)
	}
}

// anchors lists what GitHub makes of a page's headings.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		words := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

// TestReadingOrder holds the minutes that CONTRIBUTING.md asks for against the lines that are to be
// read.
func TestReadingOrder(t *testing.T) {
	t.Parallel()
	const page = ".github/CONTRIBUTING.md"
	row := regexp.MustCompile(`(?m)^\| [0-9]+ \| (.*?) \| .* \| ([0-9]+) \|$`)
	rows := row.FindAllStringSubmatch(sourceText(t, page), -1)
	if len(rows) < 8 {
		t.Fatalf("%s has %d steps only", page, len(rows))
	}
	for _, row := range rows {
		lines := 0
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(row[1], -1) {
			lines += strings.Count(sourceText(t, filepath.Join(filepath.Dir(page), m[1])), "\n")
		}
		minutes, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatal(err)
		}
		if lines < 10*minutes || lines > 25*minutes {
			t.Errorf("%d lines in %d minutes: %s", lines, minutes, row[1])
		}
	}
}
