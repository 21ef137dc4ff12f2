package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// pageWidth holds where no terminal says otherwise, cells.
const pageWidth = 80

// screen is where a command writes for people.
type screen struct {
	out    io.Writer
	live   bool // a terminal: it can be redrawn
	colour bool
	size   int // cells of a line, when it is not the terminal's
	tall   int // lines of the page that is drawn; 0: the text may be as long as it is
}

func newScreen(out io.Writer) screen {
	live := isTerminal(out)
	return screen{out: out, live: live, colour: live && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s screen) width() int {
	if s.size > 0 {
		return s.size
	}
	if f, ok := s.out.(*os.File); ok && s.live {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return pageWidth
}

func (s screen) height() int {
	if f, ok := s.out.(*os.File); ok && s.live {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil && h > 0 {
			return h
		}
	}
	return 24
}

// style is the parameter of an SGR sequence.
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

func (s screen) paint(st style, text string) string {
	if !s.colour || st == plain || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

func (s screen) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// column is one of a table. What is wider than the page is taken from the columns that may be cut or wrapped, the last one first.
type column struct {
	name  string
	fit   fit
	least int // cells that stay when it is cut
	most  int // lines of a folded one; 0: as many as it needs
}

type fit int

const (
	whole  fit = iota // never cut
	ending            // cut at the end
	middle            // cut in the middle
	folded            // wrapped
)

type cell struct {
	text  string
	style style
}

// gap is between two columns, cells.
const gap = 2

// table writes rows under aligned heads, within the width of the page. The texts are made harmless.
func (s screen) table(columns []column, rows [][]cell) {
	widths := s.widths(columns, rows)
	s.heads(columns, widths)
	for _, r := range rows {
		s.row(columns, widths, r)
	}
}

// widths are those of the columns, in cells, so that the rows fit the page.
func (s screen) widths(columns []column, rows [][]cell) []int {
	widths := make([]int, len(columns))
	total := -gap
	for i, c := range columns {
		widths[i] = width(c.name)
		for _, row := range rows {
			widths[i] = max(widths[i], width(harmless(row[i].text)))
		}
		total += widths[i] + gap
	}
	for i := len(columns) - 1; i >= 0; i-- {
		if over := total - s.width(); over > 0 && columns[i].fit != whole {
			less := min(over, widths[i]-max(columns[i].least, width(columns[i].name)))
			widths[i], total = widths[i]-max(0, less), total-max(0, less)
		}
	}
	return widths
}

func (s screen) heads(columns []column, widths []int) {
	heads := make([]cell, len(columns))
	for i, c := range columns {
		heads[i] = cell{c.name, bold}
	}
	s.row(columns, widths, heads)
}

func (s screen) row(columns []column, widths []int, cells []cell) {
	laid := make([][]string, len(cells))
	lines := 1
	for i, c := range cells {
		laid[i] = columns[i].lay(harmless(c.text), widths[i])
		lines = max(lines, len(laid[i]))
	}
	for n := range lines {
		var b strings.Builder
		for i, c := range cells {
			text := ""
			if n < len(laid[i]) {
				text = laid[i][n]
			}
			b.WriteString(s.paint(c.style, text) + strings.Repeat(" ", max(0, widths[i]-width(text))+gap))
		}
		fmt.Fprintln(s.out, strings.TrimRight(b.String(), " "))
	}
}

// paragraph writes a text after what it begins with, which takes two cells or none, over as many lines as it needs; they stand below each other. A
// word that is longer than a line, such as an address to copy, is left whole.
func (s screen) paragraph(begin string, st style, text string) {
	line, indent := "", min(2, len(begin))
	end := func() {
		s.printf("%s%s\n", begin, s.paint(st, line))
		begin, line = strings.Repeat(" ", indent), ""
	}
	for _, word := range strings.Fields(harmless(text)) {
		if line != "" && indent+width(line)+1+width(word) > s.width() {
			end()
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	end()
}

// lay returns the lines of one cell.
func (c column) lay(text string, n int) []string {
	switch c.fit {
	case ending:
		return []string{cutEnd(text, n)}
	case middle:
		return []string{cutMiddle(text, n)}
	case folded:
		lines := wrap(text, n)
		if c.most > 0 && len(lines) > c.most {
			kept := strings.Join(lines[c.most-1:], " ")
			lines = append(lines[:c.most-1], cutEnd(kept, n))
		}
		return lines
	}
	return []string{text}
}
