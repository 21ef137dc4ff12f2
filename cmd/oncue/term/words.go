package term

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// This file makes texts from outside and plain numbers fit for a terminal.

// Harmless replaces whatever could move the cursor, colour the screen or turn the direction of
// writing, so that a name can do nothing but be read.
func Harmless(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r),
			r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u200e', r == '\u200f', r == '\u061c':
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// wide are the blocks whose characters take two cells (Unicode Standard Annex 11, W and F, by whole
// blocks).
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1}, {0x2e80, 0x303e, 1}, {0x3041, 0x33ff, 1}, {0x3400, 0x4dbf, 1},
		{0x4e00, 0x9fff, 1}, {0xa000, 0xa4cf, 1},
		{0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe30, 0xfe6f, 1}, {0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{{0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f900, 0x1f9ff, 1}, {0x20000, 0x3fffd, 1}},
}

func runeWidth(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// Width is the number of cells that s takes on a terminal.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// head returns as much of s as fits in n cells, and the rest.
func head(s string, n int) (fits, rest string) {
	used := 0
	for i, r := range s {
		if used += runeWidth(r); used > n {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// cutEnd shortens s to n cells at its end.
func cutEnd(s string, n int) string {
	if Width(s) <= n {
		return s
	}
	fits, _ := head(s, n-1)
	return strings.TrimRight(fits, " ") + "…"
}

// cutMiddle shortens s to n cells and keeps both ends, where names mostly differ.
func cutMiddle(s string, n int) string {
	if Width(s) <= n {
		return s
	}
	left, _ := head(s, (n-1)/2)
	rest := s[len(left):]
	for Width(rest) > n-1-Width(left) {
		_, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
	}
	return left + "…" + rest
}

// wrap breaks s into lines of at most n cells, between words where it can.
func wrap(s string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && Width(line)+1+Width(word) > n {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
		for Width(line) > n {
			fits, rest := head(line, n)
			lines, line = append(lines, fits), rest
		}
	}
	return append(lines, line)
}

// Span writes a duration with its two largest units: 43s, 2m05s, 3h04m, 2d03h.
func Span(d time.Duration) string {
	switch d = max(0, d.Round(time.Second)); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Clock writes a time for people here: the day is left out when it is today.
func Clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// Plural writes 1 stream, 2 streams.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// text is what s points to, made harmless.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return Harmless(*s)
}
