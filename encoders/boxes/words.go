package boxes

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// Words are what placeholders stand for, apart from the job: the keys username, password, vars and
// secrets of a driver's settings.
type Words struct {
	Username string
	Password secret.Value
	Vars     map[string]any
	Secrets  map[string]secret.Value

	texts map[string]Template // the vars that are texts
}

// Outline is a text with vars filled in, and everything else as it is written.
func (w *Words) Outline(t Template) string {
	var b strings.Builder
	for _, piece := range t {
		raw, known := w.Vars[piece.Name]
		text, plain := Scalar(raw)
		if piece.Name == "" || !known || !plain || len(piece.Funcs) > 0 {
			text = piece.Text
		}
		b.WriteString(text)
	}
	return b.String()
}

// keyError is what is wrong with one key, by its path inside the settings.
type keyError struct{ key, text string }

func (e keyError) Error() string {
	if e.key == "" {
		return e.text
	}
	return e.key + ": " + e.text
}

// Scalar writes a plain value as the file has it. ok is false for mappings, lists and nothing.
func Scalar(v any) (text string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64:
		return fmt.Sprint(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}
