package configs

import (
	"bytes"
	"testing"
)

// cmd/oncue, which knows the settings of all drivers, tests what the example says of keys and their
// defaults.

func TestExampleIsReadable(t *testing.T) {
	for i, line := range bytes.Split(Example, []byte("\n")) {
		if len(line) > 150 || bytes.ContainsAny(line, "\t\r") || bytes.HasSuffix(line, []byte(" ")) {
			t.Errorf("line %d is long, or has tabs or trailing space: %s", i+1, line)
		}
	}
}
