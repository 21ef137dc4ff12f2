package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/store"
)

var exampleSecret = secret.New("c2VjcmV0LWtleS1mb3ItdGVzdHM=")

// suppliedOptions is the real loader with a value for every reference that a text of ours may hold.
func suppliedOptions() configs.Options {
	return configs.Options{
		Drivers: daemon.DriverSettings(),
		Env: func(name string) (string, bool) {
			switch {
			case strings.HasSuffix(name, "_WEBHOOK_SECRET"):
				return exampleSecret.Reveal(), true
			case strings.HasSuffix(name, "_URL"):
				return "https://people.example.com/notices", true
			}
			return "supplied-" + strings.ToLower(name), true
		},
		Open: func(string) (fs.File, error) {
			return fstest.MapFS{"secret": {Data: []byte("supplied-by-a-file\n"), Mode: 0o400}}.Open("secret")
		},
	}
}

func TestExampleLoadsClean(t *testing.T) {
	t.Parallel()
	c, warnings, err := suppliedOptions().Parse("example.yaml", configs.Example)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v\n%v", warnings, err)
	}
	used := map[string]bool{}
	for _, e := range c.Boxes() {
		used[e.Driver] = true
	}
	for name := range daemon.DriverSettings() {
		if !used[name] {
			t.Errorf("the example has no encoder or helper of driver %s", name)
		}
	}
}

// TestExpressionsOfTheExample: what the example says of conditions can be written, each variable,
// function and operator.
func TestExpressionsOfTheExample(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(string(configs.Example), "# Conditions and expressions are of expr-lang.")
	text, _, _ = strings.Cut(strings.ReplaceAll(text, "\n    #", ""), "YAML has its own ideas")
	seen, rest, _ := strings.Cut(text, "(rtmps, srt ...)")
	var written []string
	seen = regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(strings.TrimPrefix(seen, " They see "), "")
	for _, name := range regexp.MustCompile(`[a-z_]+`).FindAllString(seen, -1) {
		if name != "and" {
			written = append(written, name+" == "+name)
		}
	}
	for _, call := range regexp.MustCompile(`[a-z]+\([^)]*\)|text [a-z]+ "[^"]*"`).FindAllString(rest, -1) {
		written = append(written, strings.ReplaceAll(call, "(x", "(body.x")+" == nil")
	}
	if len(written) < 15 {
		t.Fatalf("only %q is found in %q", written, text)
	}
	for _, expression := range written {
		config := fmt.Sprintf(`{accounts: {A: {webhook_secrets: [%q]}}, streams: {s: {encoder: e}},
			encoders: {e: {http: {url: "http://h",
			start: {path: /a}, stop: {path: /b}, status: {path: /c, live: '%s', stopped: "true"}}}}}`,
			exampleSecret.Reveal(), expression)
		if _, _, err := suppliedOptions().Parse("x.yaml", []byte(config)); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

// schema is a JSON Schema, or a part of one. It tells of every key what it is for and what its
// default is.
type schema = map[string]any

func realSchema(t *testing.T) schema {
	t.Helper()
	var s schema
	if err := json.Unmarshal(configs.Schema(daemon.DriverSettings()), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func at(s schema, path ...string) schema {
	for _, p := range path {
		s, _ = s[p].(schema)
	}
	return s
}

// formsOf lists the schemas between which a value may choose; most have one.
func formsOf(s schema) []schema {
	list, ok := s["anyOf"].([]any)
	if !ok {
		return []schema{s}
	}
	var out []schema
	for _, one := range list {
		out = append(out, formsOf(one.(schema))...)
	}
	return out
}

// keysOf collects every key below s by its path, in which * stands for names that people choose.
func keysOf(s schema, path string, out map[string]schema) {
	for _, form := range formsOf(s) {
		for name, sub := range at(form, "properties") {
			out[path+name] = sub.(schema)
			keysOf(sub.(schema), path+name+".", out)
		}
		if each := at(form, "additionalProperties"); each != nil {
			keysOf(each, path+"*.", out)
		}
		if each := at(form, "items"); each != nil {
			keysOf(each, path, out)
		}
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	t.Parallel()
	keys := map[string]schema{}
	keysOf(realSchema(t), "", keys)
	for path, s := range keys {
		// What stands below encoders.NAME and helpers.NAME are the names of the drivers.
		if s["description"] == nil && !regexp.MustCompile(`^(encoders|helpers)\.\*\.\w+$`).MatchString(path) {
			t.Errorf("%s has no doc tag", path)
		}
	}
	if len(keys) < 200 {
		t.Errorf("there are %d keys only", len(keys))
	}
}

// exampleKey is one key of the example.
type exampleKey struct {
	path    string
	schema  schema
	value   *yaml.Node
	comment string // the rest of its line
}

// shownKeys lists the keys of the example, with paths as in keysOf.
func shownKeys(t *testing.T) []exampleKey {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(configs.Example, &doc); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(configs.Example), "\n")
	var out []exampleKey
	var walk func(s schema, n *yaml.Node, path string)
	walk = func(s schema, n *yaml.Node, path string) {
		for _, form := range formsOf(s) {
			if each := at(form, "items"); each != nil && n.Kind == yaml.SequenceNode {
				for _, item := range n.Content {
					walk(each, item, path)
				}
				return
			}
			properties, each := at(form, "properties"), at(form, "additionalProperties")
			if n.Kind != yaml.MappingNode || properties == nil && each == nil {
				continue
			}
			for i := 0; i < len(n.Content); i += 2 {
				key, value := n.Content[i], n.Content[i+1]
				sub, known := properties[key.Value].(schema)
				if !known {
					walk(each, value, path+"*.")
					continue
				}
				_, comment, _ := strings.Cut(lines[key.Line-1], " #")
				out = append(out, exampleKey{path + key.Value, sub, value, comment})
				walk(sub, value, path+key.Value+".")
			}
			return
		}
	}
	walk(realSchema(t), doc.Content[0], "")
	return out
}

// ofRequest matches the keys below the requests of the drivers http and tcp.
var ofRequest = regexp.MustCompile(`^(encoders\.\*\.(?:http|tcp))\.(start|stop|status|login|connect)\.(\w+)$`)

func TestExampleNamesEveryKey(t *testing.T) {
	t.Parallel()
	keys := map[string]schema{}
	keysOf(realSchema(t), "", keys)
	// What every request can say is shown at one of them.
	plain := func(path string) string {
		if m := ofRequest.FindStringSubmatch(path); m != nil && keys[m[1]+".start."+m[3]] != nil {
			return m[1] + ".REQUEST." + m[3]
		}
		return path
	}
	there := map[string]bool{}
	for _, k := range shownKeys(t) {
		there[plain(k.path)] = true
	}
	for _, path := range slices.Sorted(maps.Keys(keys)) {
		parent, name := path[:max(0, strings.LastIndexByte(path, '.'))], path[strings.LastIndexByte(path, '.')+1:]
		switch {
		case there[plain(path)]:
		case there["streams.*."+strings.TrimPrefix(path, "defaults.")]: // a list in one is as good as in the other
		case strings.HasPrefix(path, "streams.*.") && keys["defaults."+strings.TrimPrefix(path, "streams.*.")] != nil:
		case strings.HasPrefix(path, "helpers.*.") && keys["encoders."+strings.TrimPrefix(path, "helpers.")] != nil:
		case path == "tls.acme" || parent == "tls.acme": // excludes the files, so it is shown in a comment
			if !regexp.MustCompile(`(?m)^\s*#\s+` + name + `:`).Match(configs.Example) {
				t.Errorf("the example does not show %s", path)
			}
		default:
			t.Errorf("the example does not show %s", path)
		}
	}
}

var documented = regexp.MustCompile(`\(default (.*?)\)`)

// TestExampleDefaultsAreTheCodes holds every value of the example against the default in the code:
// the value itself, or what its comment says in "(default X)".
func TestExampleDefaultsAreTheCodes(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, k := range shownKeys(t) {
		code, ok := k.schema["default"]
		said := documented.FindStringSubmatch(k.comment)
		if !ok || said == nil && isStory(k.path, code) {
			continue
		}
		var value any
		var err error
		if said != nil {
			err = yaml.Unmarshal([]byte(said[1]), &value)
		} else {
			err = k.value.Decode(&value)
		}
		if err != nil || alike(value) != alike(code) {
			t.Errorf("line %d: %s is documented as %v, and the code has %v (%v)", k.value.Line, k.path, value, code,
				err)
		}
		compared++
	}
	if compared < 110 {
		t.Errorf("only %d defaults were compared", compared)
	}
}

// isStory holds for what has no default: the example tells there what somebody might write.
func isStory(path string, code any) bool {
	if strings.HasPrefix(path, "streams.") || strings.HasPrefix(path, "helpers.*.http.") ||
		strings.HasPrefix(path, "encoders.*.ffmpeg.renditions.") ||
		slices.Contains([]string{"accounts.*.webhook_secrets", "encoders.*.ffmpeg.input", "notify"}, path) {
		return true
	}
	inRequest := ofRequest.MatchString(path) ||
		regexp.MustCompile(`\.(?:http|tcp)\.(start|stop|login\.(capture|apply)\b.*)$`).MatchString(path)
	return inRequest && slices.Contains([]string{`""`, "0", "0s", "false", "[]"}, alike(code))
}

// alike is a value as JSON; durations are alike when they are as long.
func alike(v any) string {
	if text, ok := v.(string); ok {
		days, rest, found := strings.Cut(text, "d")
		if n, err := strconv.Atoi(days); err == nil && found && rest == "" {
			text = strconv.Itoa(24*n) + "h"
		}
		if d, err := time.ParseDuration(text); err == nil {
			return d.String()
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

var sentNotice = regexp.MustCompile(`(?:\bNotify\{|\bNotice\{Kind: |\.notice\()"([a-z_]+)"`)

// TestNoticesCanBeChosen holds the kinds that notify.on takes against those that the sources send.
func TestNoticesCanBeChosen(t *testing.T) {
	t.Parallel()
	sent := map[string]bool{millicast.WebhookDisabled: true, store.Corrupt: true}
	for _, pattern := range []string{
		"../../controller/*.go", "../../controller/*/*.go", "../../store/*.go", "daemon/*.go",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range sentNotice.FindAllSubmatch(source, -1) {
				sent[string(m[1])] = true
			}
		}
	}
	keys := map[string]schema{}
	keysOf(realSchema(t), "", keys)
	var allowed []string
	for _, form := range formsOf(at(keys["notify.on"], "items")) {
		words, _ := form["enum"].([]any)
		for _, w := range words {
			allowed = append(allowed, w.(string))
		}
	}
	slices.Sort(allowed)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(sent)), allowed); diff != "" {
		t.Errorf("sent (-) and allowed (+): %s", diff)
	}
}
