package main

import (
	"strings"
	"testing"
)

func TestOverlap(t *testing.T) {
	t.Parallel()
	words := func(s string) []string { return strings.Fields(s) }
	for _, c := range []struct {
		before, now string
		want        int
	}{
		{"", "a b", 0}, {"a b", "a b", 2}, {"a b", "a b c", 2}, {"a b c", "b c d", 2},
		{"a b", "c d", 0}, {"x x", "x x x", 2}, {"a b c d", "d e", 1},
	} {
		if got := overlap(words(c.before), words(c.now)); got != c.want {
			t.Errorf("overlap(%s; %s) = %d, want %d", c.before, c.now, got, c.want)
		}
	}
}
