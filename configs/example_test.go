package configs

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestExampleLoadsClean(t *testing.T) {
	c, warnings, err := testOptions().Parse("example.yaml", Example)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v\n%v", warnings, err)
	}
	if len(c.Streams) != 6 || c.Streams[0].ID != "ABC123/lobby" {
		t.Errorf("streams: %v", c.Plan())
	}
}

// written is one key of the example.
type written struct {
	value   *yaml.Node
	comment string // the rest of its line
	line    int
}

// keysOfExample lists every key of the example by its path, names of encoders and the like included.
func keysOfExample(t *testing.T) map[string]written {
	t.Helper()
	root, err := parseYAML(Example)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(Example), "\n")
	out := map[string]written{}
	var visit func(n *yaml.Node, path string)
	visit = func(n *yaml.Node, path string) {
		if n.Kind == yaml.SequenceNode {
			for _, item := range n.Content {
				visit(item, path+"[]")
			}
		}
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			p := join(path, key.Value)
			line := lines[key.Line-1]
			comment := ""
			if at := strings.Index(line, " #"); at >= 0 {
				comment = line[at:]
			}
			out[p] = written{value, comment, key.Line}
			visit(value, p)
		}
	}
	visit(root, "")
	return out
}

// places are where the example shows each struct, and a new one with its defaults.
func places() map[string]reflect.Value {
	out := map[string]reflect.Value{
		"":                         reflect.ValueOf(Default()).Elem(),
		"accounts.ABC123":          prefilled(reflect.TypeFor[Account]()),
		"streams.stage.schedule[]": prefilled(reflect.TypeFor[Window]()),
		"notify[]":                 prefilled(reflect.TypeFor[Notify]()),
	}
	for _, path := range []string{"lobby-cam.ffmpeg", "raw.ffmpeg", "studio-obs.obs", "stage-helo.http", "own-box.http", "nvr.ffmpeg", "bench.fake"} {
		_, driver, _ := strings.Cut(path, ".")
		out["encoders."+path] = reflect.ValueOf(testDrivers()[driver]()).Elem()
	}
	for _, s := range []string{"lobby", "cam-*", "stage", "test", "own", "trial"} {
		out["streams."+s] = reflect.ValueOf(&streamKeys{Timing: builtIn()}).Elem()
	}
	return out
}

func TestExampleNamesEveryKey(t *testing.T) {
	keys := keysOfExample(t)
	named := func(name string) bool { // also in a comment, for keys that exclude others
		return regexp.MustCompile(`(?m)^\s*#\s+` + name + `:`).Match(Example)
	}
	shown := map[string]bool{}
	all := places()
	for path, v := range all {
		for _, k := range shapeOf(v.Type()).names {
			if _, ok := keys[join(path, k)]; ok {
				shown[v.Type().String()+"."+k] = true
			}
		}
	}
	for path, v := range all {
		for _, k := range shapeOf(v.Type()).keys {
			// Settings of the tests have a few keys more than a driver; the drivers' own tests hold the example against those.
			if strings.HasPrefix(path, "encoders.") || strings.HasPrefix(path, "streams.") && slices.Contains(shapeOf(reflect.TypeFor[Timing]()).names, k.name) {
				continue
			}
			if !shown[v.Type().String()+"."+k.name] && !named(k.name) {
				t.Errorf("the example does not show %s of %s", k.name, v.Type())
			}
			if k.rule.doc == "" {
				t.Errorf("%s of %s has no doc tag", k.name, v.Type())
			}
			if k.typ.Kind() == reflect.Struct && k.typ != secretType {
				for _, inner := range shapeOf(k.typ).names {
					if _, ok := keys[join(join(path, k.name), inner)]; !ok && !named(inner) {
						t.Errorf("the example does not show %s.%s of %s", k.name, inner, v.Type())
					}
				}
			}
		}
	}
}

var documented = regexp.MustCompile(`\(default:? (.*?)\)`)

// TestExampleDefaultsAreTheCodes holds every value of the example against the default in the code: the value itself, or what its comment
// says in "(default X)".
func TestExampleDefaultsAreTheCodes(t *testing.T) {
	compared, keys := 0, keysOfExample(t)
	for place, v := range places() {
		for _, l := range leaves(v, "") {
			k, ok := keys[strings.TrimPrefix(place+"."+l.path, ".")]
			if !ok || isStory(place, l.path) {
				continue
			}
			value := k.value
			if m := documented.FindStringSubmatch(k.comment); m != nil {
				var doc yaml.Node
				if err := yaml.Unmarshal([]byte(m[1]), &doc); err != nil || len(doc.Content) == 0 {
					t.Errorf("line %d: %q is no value", k.line, m[1])
					continue
				}
				value = doc.Content[0]
			}
			d := newDecoder("example.yaml", testOptions())
			got := reflect.New(l.value.Type()).Elem()
			d.value(value, got, l.path, rule{})
			if len(d.problems) > 0 || textOf(got) != l.text() {
				t.Errorf("line %d: %s is documented as %s, and the code has %s %v", k.line, l.path, textOf(got), l.text(), d.problems)
			}
			compared++
		}
	}
	if compared < 60 {
		t.Errorf("only %d defaults were compared", compared)
	}
}

// isStory holds for what has no default: the example tells there what somebody might write.
func isStory(place, key string) bool {
	switch {
	case place == "" && (key == "accounts" || key == "notify"), strings.HasPrefix(place, "streams."), strings.HasPrefix(place, "accounts.") && strings.HasSuffix(key, "_secret"):
		return true
	}
	return slices.Contains([]string{"webhook_secrets", "cron", "for", "input", "start", "stop", "status", "url"}, strings.SplitN(key, ".", 2)[0])
}

func TestExampleIsReadable(t *testing.T) {
	for i, line := range bytes.Split(Example, []byte("\n")) {
		if len(line) > 150 || bytes.ContainsAny(line, "\t\r") || bytes.HasSuffix(line, []byte(" ")) {
			t.Errorf("line %d is long, or has tabs or trailing space: %s", i+1, line)
		}
	}
}
