package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/oncue/oncue/"

// arrows says which packages of the house each one may import. What is not listed may import none,
// and cmd may import all.
var arrows = map[string][]string{
	"configs":         {"configs/ingest", "configs/secret", "configs/words"},
	"configs/ingest":  {"configs/secret"},
	"configs/presets": {},
	"configs/secret":  {},
	"configs/words":   {},
	"encoders":        {"configs/secret"},

	// What drivers share. The drivers themselves follow forDrivers.
	"encoders/boxes":   {"configs/ingest", "encoders", "configs/secret"},
	"encoders/proc":    {"encoders", "configs/secret"},
	"encoders/sandbox": {},

	"encoders/exec/handover": {"configs/ingest", "encoders/proc"},
	"encoders/ffmpeg/relay":  {"encoders/sandbox"},

	"controller":           {"encoders"},
	"controller/machine":   {"controller", "encoders"},
	"controller/runner":    {"controller", "controller/machine", "encoders", "configs/secret"},
	"controller/millicast": {"controller", "configs/secret"},
	"controller/millicast/simulator": {
		"controller", "controller/millicast", "controller/millicast/simulator/rtmp", "configs/secret",
	},
	"controller/millicast/simulator/rtmp": {"configs/secret"},
	"controller/notify":                   {"controller", "configs/secret"},
	"controller/web":                      {"controller", "controller/millicast", "configs/secret", "configs/words"},
	"store":                               {"controller", "store/commit"},
	"store/commit":                        {},

	"cmd/oncue/client": {"cmd/oncue/term", "configs", "configs/secret", "controller", "controller/millicast"},
	"cmd/oncue/daemon": {
		"cmd/oncue/term", "configs", "configs/ingest", "configs/secret", "controller", "controller/machine",
		"controller/millicast", "controller/notify", "controller/runner", "controller/web",
		"encoders", "encoders/proc", "store",
	},
	"cmd/oncue/record": {"configs/secret"},
	"cmd/oncue/demo": {
		"cmd/oncue/daemon", "cmd/oncue/term", "configs", "configs/secret", "controller", "controller/millicast",
		"controller/millicast/simulator", "store",
	},
	"cmd/oncue/term": {"controller", "controller/web", "encoders"},

	// Helpers of tests.
	"encoders/encodertest": {"encoders", "configs/secret"},
	"encoders/obs/obstest": {"configs/secret"},

	"encoders/httpapi/mediamtxtest": {},
	"encoders/ffmpeg/cameratest":    {},
}

// forDrivers is what each folder of encoders may import, beside its own parts: a new driver needs
// no line here.
var forDrivers = []string{
	"configs/ingest", "configs/presets", "configs/secret",
	"encoders", "encoders/boxes", "encoders/proc", "encoders/sandbox",
}

var driverFolder = regexp.MustCompile(`^encoders/[a-z0-9]+$`)

// mayImport reports whether one package of the house may import another.
func mayImport(folder, other string) (allowed []string, ok bool) {
	allowed, listed := arrows[folder]
	if !listed && driverFolder.MatchString(folder) {
		return forDrivers, slices.Contains(forDrivers, other) || strings.HasPrefix(other, folder+"/")
	}
	registry := folder == "cmd/oncue/daemon" && driverFolder.MatchString(other) && arrows[other] == nil
	return allowed, registry || slices.Contains(allowed, other)
}

// homes says where a technology lives, and nowhere else.
var homes = map[string][]string{
	"github.com/labstack/echo/":   {"controller/web"},
	"database/sql":                {"store", "store/commit"},
	"github.com/mattn/go-sqlite3": {"store"},
	"go.yaml.in/yaml/":            {"configs"},
	"os/exec": {"encoders/exec", "encoders/ffmpeg", "encoders/proc", "cmd/oncue/demo", "encoders/obs/obstest",
		"encoders/ffmpeg/cameratest",
		"encoders/httpapi/mediamtxtest", "encoders/systemd"},
	"github.com/spf13/cobra":       {"cmd/oncue", "cmd/oncue/client"},
	"github.com/coder/websocket":   {"encoders/obs", "encoders/obs/obstest"},
	"github.com/expr-lang/expr":    {"encoders/boxes", "encoders/httpapi"},
	"github.com/prometheus/":       {"controller/web"},
	"github.com/nicholas-fedor/":   {"controller/notify"},
	"github.com/hashicorp/":        {"controller/millicast", "encoders/httpapi"},
	"github.com/go-co-op/gocron/":  {"controller/runner", "cmd/oncue/daemon"},
	"github.com/godbus/dbus/":      {"encoders/systemd"},
	"github.com/coreos/go-systemd": {"controller/web", "cmd/oncue/daemon", "cmd/oncue/term"},
}

// TestHouse holds the arrows between the packages.
func TestHouse(t *testing.T) {
	for folder, imports := range houseImports(t) {
		for _, name := range imports {
			if own, ok := strings.CutPrefix(name, module); ok {
				if allowed, ok := mayImport(folder, own); folder != "cmd/oncue" && !ok {
					t.Errorf("%s imports %s; it may import %v", folder, own, allowed)
				}
				continue
			}
			for what, where := range homes {
				if strings.HasPrefix(name+"/", what) && !slices.Contains(where, folder) {
					t.Errorf("%s imports %s, which belongs in %v", folder, name, where)
				}
			}
		}
	}
}

// TestMachineIsPure holds that the decision depends on nothing but what it is given: it reads no
// clock, waits for nothing, rolls no dice, keeps nothing for the next time, and reaches neither the
// host nor the network.
func TestMachineIsPure(t *testing.T) {
	const folder = "controller/machine"
	// sync/atomic: a schedule keeps its last answer, which is a function of the time it was asked
	// for.
	allowed := []string{
		"cmp", "fmt", "iter", "math", "reflect", "slices", "strconv", "sync/atomic", "time", "github.com/robfig/cron/v3",
		module + "controller", module + "encoders",
	}
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	files := 0
	walkSources(t, parser.SkipObjectResolution, func(where, name string, source *ast.File) {
		if where != folder {
			return
		}
		files++
		for _, spec := range source.Imports {
			if path, _ := strconv.Unquote(spec.Path.Value); !slices.Contains(allowed, path) {
				t.Errorf("%s/%s imports %s; the decision may import %v", folder, name, path, allowed)
			}
		}
		ast.Inspect(source, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if from, ok := n.X.(*ast.Ident); ok && from.Name == "time" && slices.Contains(clock, n.Sel.Name) {
					t.Errorf("%s/%s uses time.%s; the time is an argument of Decide", folder, name, n.Sel.Name)
				}
			case *ast.GoStmt:
				t.Errorf("%s/%s starts a goroutine", folder, name)
			}
			return true
		})
	})
	if files == 0 {
		t.Errorf("%s has no files: has it moved?", folder)
	}
}

// houseImports lists what each folder imports, its tests left out.
func houseImports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	walkSources(t, parser.ImportsOnly, func(folder, _ string, source *ast.File) {
		for _, spec := range source.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			found[folder] = append(found[folder], name)
		}
	})
	for _, folder := range []string{"cmd/oncue", "controller/machine", "controller/runner", "store"} {
		if len(found[folder]) == 0 {
			t.Errorf("no imports of %s were found: has it moved?", folder)
		}
	}
	return found
}

// walkSources calls visit with every Go file of the house that is no test, by its folder and name.
func walkSources(t *testing.T, mode parser.Mode, visit func(folder, name string, source *ast.File)) {
	t.Helper()
	const root = "../.."
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, mode)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		visit(folder, d.Name(), source)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// roomWithoutMap is how many files a package may have before it needs a map.
const roomWithoutMap = 8

// TestMaps wants every file of a large package named in its package comment, and no file that is
// not there.
func TestMaps(t *testing.T) {
	files := map[string][]string{}
	docs := map[string]string{}
	walkSources(t, parser.PackageClauseOnly|parser.ParseComments, func(folder, name string, source *ast.File) {
		files[folder] = append(files[folder], name)
		if source.Doc != nil {
			docs[folder] += source.Doc.Text()
		}
	})
	maps := 0
	for folder, names := range files {
		if len(names) <= roomWithoutMap {
			continue
		}
		maps++
		told := regexp.MustCompile(`[a-z0-9_]+\.go\b`).FindAllString(docs[folder], -1)
		for _, name := range names {
			if name != "doc.go" && !slices.Contains(told, name) {
				t.Errorf("%s/%s has no place in the map of its package comment: say there what it is for", folder, name)
			}
		}
		for _, name := range told {
			if !slices.Contains(names, name) {
				t.Errorf("the package comment of %s names %s, which is not there", folder, name)
			}
		}
	}
	if maps < 8 {
		t.Errorf("only %d packages are large: have they moved?", maps)
	}
}

// The daemon gives each driver a log whose lines name the encoder; a driver that names it again
// says it twice.
func TestDriversNameTheEncoderOnce(t *testing.T) {
	t.Parallel()
	again := regexp.MustCompile(`\bLog\.[A-Z]\w*\(.*"encoder"`)
	err := filepath.WalkDir("../../encoders", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if line := again.Find(text); line != nil {
			t.Errorf("%s names the encoder again: %s", path, line)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDependenciesAreExplained wants the README to explain each direct dependency.
func TestDependenciesAreExplained(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?is)\n#+ [^\n]*dependencies[^\n]*\n(.*?)(\n# |\n## |$)`).FindSubmatch(readme)
	if section == nil {
		t.Fatal("README.md has no section on dependencies")
	}
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllSubmatch(text, -1) {
		name := string(line[1])
		words := strings.Split(regexp.MustCompile(`/v[0-9]+$`).ReplaceAllString(name, ""), "/")
		what := words[min(2, len(words)-1)] // of host/owner/what, or of host/what
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(what) + `\b`).Match(section[1]) {
			t.Errorf("README.md does not say what %s is for", name)
		}
	}
}
