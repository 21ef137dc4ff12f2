package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/words"
)

// Problem is one finding in a configuration file. Its text never holds a secret or the value of a
// reference.
type Problem struct {
	File      string
	Line, Col int    // from 1
	Key       string // path of the key: streams.lobby.idle_timeout, notify[0].url
	Text      string // what is wrong, and what is allowed
	Warning   bool   // the file can be used all the same
	Note      bool   // with Warning: it is probably intended
	// with Warning: what is written cannot work; it is an error for who checks a file, and a daemon
	// does the next best
	Refused bool
}

// String is FILE:LINE:COL: path.to.key: text, with "warning: " or "note: " before the path of what
// is no error.
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

// Problems is the error that [Load] returns for a file that is wrong: all its problems, in file
// order.
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

// choices is the end of an error about a word that is not allowed: the allowed word that was
// probably meant, and all allowed words.
func choices(word string, allowed []string) string {
	list := strings.Join(allowed, ", ")
	if near, ok := words.Nearest(word, allowed); ok {
		return fmt.Sprintf("; did you mean %q? allowed: %s", near, list)
	}
	return "; allowed: " + list
}
