package words

import "strings"

// Nearest is the allowed word that was probably meant.
func Nearest(word string, allowed []string) (string, bool) {
	plain := squash(word)
	best, limit := "", max(1, len(plain)/3)
	for _, a := range allowed {
		if d := Distance(plain, squash(a)); d <= limit && (best == "" || d < limit) {
			best, limit = a, d
		}
	}
	return best, best != ""
}

// squash removes what people write differently: idleTimeout, idle-timeout and IDLE_TIMEOUT are the
// same word.
func squash(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// Distance counts the characters that must be inserted, deleted, replaced or swapped with their
// neighbour to make b of a.
func Distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	two, one, row := make([]int, len(to)+1), make([]int, len(to)+1), make([]int, len(to)+1)
	for j := range one {
		one[j] = j
	}
	for i := range from {
		row[0] = i + 1
		for j := range to {
			replaced := one[j]
			if from[i] != to[j] {
				replaced++
			}
			row[j+1] = min(one[j+1]+1, row[j]+1, replaced)
			if i > 0 && j > 0 && from[i] == to[j-1] && from[i-1] == to[j] {
				row[j+1] = min(row[j+1], two[j-1]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(to)]
}
