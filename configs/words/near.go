package words

import "strings"

// Nearest is the allowed word that was probably meant.
func Nearest(word string, allowed []string) (string, bool) {
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
