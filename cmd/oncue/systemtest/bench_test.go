package systemtest

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var benchTable = flag.Bool("bench-table", false, "measure, and print TestBenchTable's table")

// TestBenchTable measures what the program promises, each figure beside its floor, which is
// measured in the same run. A missed goal is no failure: only a person knows whether the host was
// idle.
func TestBenchTable(t *testing.T) {
	if !*benchTable {
		t.Skip("takes minutes and a quiet machine; run it with -bench-table (make bench)")
	}
	figures := &table{}
	defer func() { t.Logf("\n%s", figures) }()
	for _, part := range []struct {
		name string
		run  func(*testing.T, *table)
	}{
		{"hooks", benchHooks},
		{"exec", benchExec},
		{"first frame", benchFirstFrame},
		{"hot standby", benchHot},
		{"wakes", benchWakes},
		{"switch-over", benchSwitchOver},
		{"wake link", benchWakeLink},
		{"large", benchLarge},
		{"packages", benchPackages},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, figures) })
	}
}

// table is what is printed at the end.
type table struct{ rows [][]string }

func (t *table) add(what, figure, floor, ratio, goal string) {
	t.rows = append(t.rows, []string{what, figure, floor, ratio, goal})
}

func (t *table) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{{"what", "measured", "beside", "ratio", "goal"}}, t.rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	return text.String()
}

func goal(text string, met bool) string {
	if met {
		return text + ": met"
	}
	return text + ": MISSED"
}

func median[T int | float64 | time.Duration](v []T) T {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func percentile[T int | float64 | time.Duration](v []T, p int) T {
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)*p/100, len(v)-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
