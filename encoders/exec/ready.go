package exec

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
	"github.com/oncue/oncue/encoders/sandbox"
)

// readiness tests whether a program is ready.
type readiness struct {
	Ready
	output *regexp.Regexp // nil when it is met, or not asked for
}

// newReadiness returns nil when nothing is asked for.
func newReadiness(r Ready) *readiness {
	if r == (Ready{}) {
		return nil
	}
	ready := &readiness{Ready: r}
	if r.Output != "" {
		ready.output = regexp.MustCompile(r.Output) // Validate has tried it
	}
	return ready
}

// dialTime limits one try: what listens on this host answers at once.
const dialTime = 200 * time.Millisecond

// met reports whether all is true now. log is the output file, in which the run begins at from.
func (r *readiness) met(job encoders.Job, log string, from int64) bool {
	if r.output != nil {
		body, err := proc.LastBytes(log, from, logTail)
		matches := func(line string) bool { return !strings.HasPrefix(line, notePrefix) && r.output.MatchString(line) }
		if err != nil || !slices.ContainsFunc(proc.Lines(body), matches) {
			return false
		}
		r.output = nil // the line may be cut off later
	}
	if r.TCP != "" {
		address := job.Fill(r.TCP)
		if strings.HasPrefix(address, ":") {
			address = "localhost" + address
		}
		if !listens("tcp", address) {
			return false
		}
	}
	if r.File == "" {
		return true
	}
	path := job.Fill(r.File)
	if sandbox.IsSocket(path) {
		return listens("unix", path)
	}
	_, err := os.Stat(path)
	return err == nil
}

func listens(network, address string) bool {
	c, err := net.DialTimeout(network, address, dialTime)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
