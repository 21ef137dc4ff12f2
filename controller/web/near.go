package web

import (
	"slices"
	"strings"

	"github.com/oncue/oncue/controller"
)

// unknownStream says that there is no such stream, and names those that may have been meant.
func unknownStream(id string, streams []controller.StreamView) *problem {
	p := newProblem(404, "no stream "+quote(id), "oncue status lists the streams")
	if near := nearest(id, streams); len(near) > 0 {
		p.Hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return p
}

// nearest returns at most three ids that differ from id by a typing slip, or that have it as their name, best first.
func nearest(id string, streams []controller.StreamView) []string {
	type candidate struct {
		id   string
		away int
	}
	var found []candidate
	wanted := []rune(strings.ToLower(id))
	for _, s := range streams {
		away := min(distance(wanted, []rune(strings.ToLower(s.ID))), distance(wanted, []rune(strings.ToLower(s.Name))))
		if away <= max(1, len(wanted)/4) {
			found = append(found, candidate{s.ID, away})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.away - b.away })
	var ids []string
	for _, c := range found[:min(3, len(found))] {
		ids = append(ids, quote(c.id))
	}
	return ids
}

// distance is the number of single-character edits between a and b (Levenshtein).
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, ca := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, cb := range b {
			change := diagonal
			if ca != cb {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
