// Tally reads what `go test -json` writes, tells it in few lines, and closes with one: "N passed, N
// failed, N skipped". A failure makes its exit code 1.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type tally struct {
	passed, failed int
	skips          []string
	cases          int                 // of properties
	output         map[string][]string // by package and test, until it ends
	broken         map[string]bool     // packages of which a test failed
}

// propertyCases is how pgregory.net/rapid tells of a property that held.
var propertyCases = regexp.MustCompile(`\[rapid\] OK, passed (\d+) tests`)

func main() {
	t := tally{output: map[string][]string{}, broken: map[string]bool{}}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil { // go itself speaks: a flag it does not know, a module it cannot get
			fmt.Println(in.Text())
			if len(in.Bytes()) > 0 && !strings.HasPrefix(in.Text(), "go: downloading") {
				t.failed++
			}
			continue
		}
		t.add(e)
	}
	if err := in.Err(); err != nil {
		fmt.Println("error: read the events of the tests:", err)
		t.failed++
	}
	if t.passed+t.failed == 0 {
		fmt.Println("error: no test ran")
		t.failed++
	}
	for _, skip := range t.skips {
		fmt.Println("SKIP", skip)
	}
	if t.cases > 0 {
		fmt.Println("cases of properties tried:", t.cases)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, len(t.skips))
	if t.failed > 0 {
		os.Exit(1)
	}
}

func (t *tally) add(e event) {
	e.Package = strings.TrimPrefix(e.Package+e.ImportPath, "github.com/oncue/oncue/")
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		t.output[key] = append(t.output[key], e.Output)
		if m := propertyCases.FindStringSubmatch(e.Output); m != nil {
			n, _ := strconv.Atoi(m[1])
			t.cases += n
		}
		return
	case "pass":
		if e.Test != "" {
			t.passed++
		} else {
			fmt.Printf("ok   %-40s %6.1fs\n", e.Package, e.Elapsed)
		}
	case "skip":
		if e.Test != "" { // a package without tests "skips", too
			t.skips = append(t.skips, key+": "+reason(t.output[key]))
		}
	case "fail", "build-fail":
		fmt.Printf("FAIL %-40s %6.1fs\n%s", key, e.Elapsed, strings.Join(t.output[key], ""))
		// A package fails with each of its tests, and with its build; by itself it counts only when none
		// of its tests has failed: a leak, a race outside.
		if e.Test != "" || e.Action == "fail" && !t.broken[e.Package] {
			t.failed++
			t.broken[e.Package] = true
		}
	default:
		return
	}
	delete(t.output, key)
}

// reason is what a test said before it skipped itself: "    file_test.go:12: why".
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		line := strings.TrimSpace(output[i])
		if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") && line != "" {
			if _, why, ok := strings.Cut(line, ": "); ok {
				return why
			}
			return line
		}
	}
	return "no reason given"
}
