package systemtest

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	chaosTime = flag.Duration("chaos", 0,
		"how long TestChaos goes on breaking things at random; 0: each fault once, briefly")
	chaosSeed = flag.Uint64("chaos.seed", 1, "of everything random in TestChaos")
)

// TestChaos breaks what can break around the real program, and prints a result for each fault. The
// faults are those of one process on one host; packages test alone what they can.
//
// The same seed makes the same decisions; when they hit the program depends on the host.
func TestChaos(t *testing.T) {
	if *chaosTime == 0 && os.Getenv("ONCUE_CHAOS") == "" {
		t.Skip("takes minutes: ONCUE_CHAOS=1 runs the short version, as make test does; make chaos the long one")
	}
	t.Logf("seed %d (repeat with -chaos.seed=%d)", *chaosSeed, *chaosSeed)
	binary := buildOncue(t)
	report := &report{}
	defer func() { t.Logf("what came of it, seed %d\n%s", *chaosSeed, report) }()
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			sum := fnv.New64()
			sum.Write([]byte(f.name))
			c := &chaos{
				T: t, site: newSite(t, binary), random: rand.New(rand.NewPCG(*chaosSeed, sum.Sum64())), binary: binary,
				long: *chaosTime > 0,
			}
			began := time.Now()
			defer func() { report.add(f.name, c.figure, t, time.Since(began)) }()
			f.run(c)
		})
	}
}

// chaos is one fault at work.
type chaos struct {
	*testing.T
	site   *site
	random *rand.Rand
	binary string
	long   bool   // not the short version
	figure string // for the report
}

// says sets the figure of the report.
func (c *chaos) says(format string, args ...any) { c.figure = fmt.Sprintf(format, args...) }

// times is how often to do something, in the short version and in the long.
func (c *chaos) times(short, long int) int {
	if c.long {
		return long
	}
	return short
}

// between is a random time.
func (c *chaos) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.random.Int64N(int64(high-low)))
}

// pass lets time pass, for faults that last. Whatever follows them is waited for by its condition.
func pass(d time.Duration) { <-time.After(d) }

type fault struct {
	name string
	run  func(*chaos)
}

func faults() []fault {
	return []fault{
		{"kill -9 at random under load", chaosKills},
		{"kill -9 at each write to the disk", chaosBoundaries},
		{"kill -9 while an encoder is started and stopped", chaosEncoderBoundaries},
		{"disk full", chaosDiskFull},
		{"disk slow", chaosDiskSlow},
		{"disk broken", chaosDiskBroken},
		{"database locked by another process", chaosLocked},
		{"database damaged", chaosDamaged},
		{"encoder start hangs", chaosHang},
		{"encoder ignores TERM", chaosStubborn},
		{"encoder crash loop", chaosCrashLoop},
		{"encoder frozen", chaosFrozen},
		{"encoders orphaned", chaosOrphans},
		{"log sink blocked", chaosLogBlocked},
		{"platform out of reach", chaosPartition},
		{"every hook ten times", chaosDuplicates},
		{"hooks in any order", chaosOrder},
		{"forged and replayed hooks", chaosForged},
		{"abuse of HTTP", chaosAbuse},
		{"flood", chaosFlood},
		{"slowloris", chaosSlowloris},
		{"file descriptors exhausted", chaosFiles},
		{"bad configurations", chaosConfigs},
		{"secret rotated in flight", chaosRotation},
		{"planned restarts under load", chaosRestarts},
	}
}

// report is the table of results.
type report struct{ rows []string }

func (r *report) add(name, figure string, t *testing.T, took time.Duration) {
	outcome := "held"
	switch {
	case t.Failed():
		outcome = "BROKEN"
	case t.Skipped():
		outcome = "skipped"
	}
	r.rows = append(r.rows, fmt.Sprintf("%s\t%s\t%s\t%.1f s", name, outcome, figure, took.Seconds()))
}

func (r *report) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\t\tfigure\ttook")
	for _, row := range r.rows {
		fmt.Fprintln(w, row)
	}
	_ = w.Flush()
	return text.String()
}

// badDisk makes the site's next processes see a disk with faults, set in the environment; see
// testdata/disk.c.
func (c *chaos) badDisk(env ...string) {
	c.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		c.Skip("needs a C compiler: ", err)
	}
	library := filepath.Join(c.TempDir(), "disk.so")
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-O1", "-o", library, "testdata/disk.c",
		"-ldl").CombinedOutput(); err != nil {
		c.Fatalf("compile the disk with faults: %v\n%s", err, out)
	}
	c.site.env = append(env, "LD_PRELOAD="+library)
}

// script writes a program that takes FFmpeg's place.
func (c *chaos) script(text string) string {
	c.Helper()
	path := filepath.Join(c.TempDir(), "encoder")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		c.Fatal(err)
	}
	return path
}
