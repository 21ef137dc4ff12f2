package term

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// PageWidth is the width without a terminal, cells.
const PageWidth = 80

// Screen is where a command writes for people.
type Screen struct {
	Out    io.Writer
	Live   bool // a terminal: it can be redrawn
	colour bool
	Size   int // cells of a line, when it is not the terminal's
	Tall   int // lines of the page that is drawn; 0: the text may be as long as it is
}

func NewScreen(out io.Writer) Screen {
	live := IsTerminal(out)
	return Screen{Out: out, Live: live, colour: live && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (s Screen) Width() int {
	if s.Size > 0 {
		return s.Size
	}
	if f, ok := s.Out.(*os.File); ok && s.Live {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return PageWidth
}

func (s Screen) Height() int {
	if f, ok := s.Out.(*os.File); ok && s.Live {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil && h > 0 {
			return h
		}
	}
	return 24
}

// Style is the parameter of an SGR sequence.
type Style string

const (
	Plain  Style = ""
	Bold   Style = "1"
	Faint  Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

func (s Screen) Paint(st Style, text string) string {
	if !s.colour || st == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

func (s Screen) Printf(format string, args ...any) { fmt.Fprintf(s.Out, format, args...) }

// Column is one column of a table. A table that is wider than the page takes space from the columns
// that may be cut or wrapped, the last one first.
type Column struct {
	Name  string
	Fit   fit
	Least int // cells that stay when it is cut
	most  int // lines of a folded one; 0: as many as it needs
}

type fit int

const (
	whole  fit = iota // never cut
	Ending            // cut at the end
	Middle            // cut in the middle
	Folded            // wrapped
)

type Cell struct {
	Text  string
	Style Style
}

// gap is between two columns, cells.
const gap = 2

// Table writes rows under aligned heads, within the width of the page. The texts are made harmless.
func (s Screen) Table(columns []Column, rows [][]Cell) {
	widths := s.Widths(columns, rows)
	s.Heads(columns, widths)
	for _, r := range rows {
		s.Row(columns, widths, r)
	}
}

// Widths are those of the columns, in cells, so that the rows fit the page.
func (s Screen) Widths(columns []Column, rows [][]Cell) []int {
	widths := make([]int, len(columns))
	total := -gap
	for i, c := range columns {
		widths[i] = Width(c.Name)
		for _, row := range rows {
			widths[i] = max(widths[i], Width(Harmless(row[i].Text)))
		}
		total += widths[i] + gap
	}
	for i := len(columns) - 1; i >= 0; i-- {
		if over := total - s.Width(); over > 0 && columns[i].Fit != whole {
			less := min(over, widths[i]-max(columns[i].Least, Width(columns[i].Name)))
			widths[i], total = widths[i]-max(0, less), total-max(0, less)
		}
	}
	return widths
}

func (s Screen) Heads(columns []Column, widths []int) {
	heads := make([]Cell, len(columns))
	for i, c := range columns {
		heads[i] = Cell{c.Name, Bold}
	}
	s.Row(columns, widths, heads)
}

func (s Screen) Row(columns []Column, widths []int, cells []Cell) {
	laid := make([][]string, len(cells))
	lines := 1
	for i, c := range cells {
		laid[i] = columns[i].lay(Harmless(c.Text), widths[i])
		lines = max(lines, len(laid[i]))
	}
	for n := range lines {
		var b strings.Builder
		for i, c := range cells {
			text := ""
			if n < len(laid[i]) {
				text = laid[i][n]
			}
			b.WriteString(s.Paint(c.Style, text) + strings.Repeat(" ", max(0, widths[i]-Width(text))+gap))
		}
		fmt.Fprintln(s.Out, strings.TrimRight(b.String(), " "))
	}
}

// Paragraph writes begin, which takes two cells or none, and the text after it, wrapped below
// itself. It does not break a word that is longer than a line, such as an address to copy.
func (s Screen) Paragraph(begin string, st Style, text string) {
	line, indent := "", min(2, len(begin))
	end := func() {
		s.Printf("%s%s\n", begin, s.Paint(st, line))
		begin, line = strings.Repeat(" ", indent), ""
	}
	for _, word := range strings.Fields(Harmless(text)) {
		if line != "" && indent+Width(line)+1+Width(word) > s.Width() {
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
func (c Column) lay(text string, n int) []string {
	switch c.Fit {
	case Ending:
		return []string{cutEnd(text, n)}
	case Middle:
		return []string{cutMiddle(text, n)}
	case Folded:
		lines := wrap(text, n)
		if c.most > 0 && len(lines) > c.most {
			kept := strings.Join(lines[c.most-1:], " ")
			lines = append(lines[:c.most-1], cutEnd(kept, n))
		}
		return lines
	}
	return []string{text}
}
