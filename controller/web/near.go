package web

import (
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/words"
	"github.com/oncue/oncue/controller"
)

// unknownStream says that there is no such stream, and suggests streams with similar names.
func unknownStream(id controller.StreamID, streams []controller.StreamView) *problem {
	p := newProblem(404, "no stream "+quote(id), "oncue status lists the streams")
	if near := nearest(id, streams); len(near) > 0 {
		p.Hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return p
}

// nearest returns at most three ids that differ from id only by a typing error, or whose names do,
// best first.
func nearest(id controller.StreamID, streams []controller.StreamView) []string {
	type candidate struct {
		id   string
		away int
	}
	var found []candidate
	wanted := strings.ToLower(string(id))
	for _, s := range streams {
		away := min(words.Distance(wanted, strings.ToLower(string(s.ID))), words.Distance(wanted, strings.ToLower(s.Name)))
		if away <= max(1, len(wanted)/4) {
			found = append(found, candidate{string(s.ID), away})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.away - b.away })
	var ids []string
	for _, c := range found[:min(3, len(found))] {
		ids = append(ids, quote(c.id))
	}
	return ids
}
