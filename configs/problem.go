package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one finding in a configuration file. Its text never holds a secret or a value that came from a reference.
type Problem struct {
	File      string
	Line, Col int    // from 1
	Key       string // path of the key: streams.lobby.idle_timeout, notify[0].url
	Text      string // what is wrong, and what is allowed
	Warning   bool   // the file can be used nevertheless
	Note      bool   // with Warning: it may well be meant so
}

// String is FILE:LINE:COL: path.to.key: text, with "warning: " or "note: " before the path of what is no error.
func (p Problem) String() string {
	grade := ""
	switch {
	case p.Note:
		grade = "note: "
	case p.Warning:
		grade = "warning: "
	}
	return fmt.Sprintf("%s:%d:%d: %s%s: %s", p.File, p.Line, p.Col, grade, p.Key, p.Text)
}

// Problems is the error that [Load] returns for a file that was read and cannot be used: everything that is wrong with it, in file order.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

func sortProblems(list []Problem) {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), strings.Compare(a.Key, b.Key))
	})
}

// choices ends an error about a word that is not among the allowed ones: the nearest of them, if one is near, and all of them.
func choices(word string, allowed []string) string {
	list := strings.Join(allowed, ", ")
	if near, ok := nearest(word, allowed); ok {
		return fmt.Sprintf("; did you mean %q? allowed: %s", near, list)
	}
	return "; allowed: " + list
}

// nearest is the allowed word that was probably meant.
func nearest(word string, allowed []string) (string, bool) {
	plain := squash(word)
	best, limit := "", max(1, len(plain)/3)
	for _, a := range allowed {
		if d := distance(plain, squash(a), limit); d <= limit && (best == "" || d < limit) {
			best, limit = a, d
		}
	}
	return best, best != ""
}

// squash takes away what people write differently: idleTimeout, idle-timeout and IDLE_TIMEOUT are the same word.
func squash(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// distance counts the insertions, deletions, replacements and swaps of neighbours from a to b; above limit it may stop early.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}
