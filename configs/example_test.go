package configs

import (
	"bytes"
	"testing"
)

// What the example says of keys and their defaults is held against the code in cmd/oncue, where the settings of all drivers are known.

func TestExampleIsReadable(t *testing.T) {
	for i, line := range bytes.Split(Example, []byte("\n")) {
		if len(line) > 150 || bytes.ContainsAny(line, "\t\r") || bytes.HasSuffix(line, []byte(" ")) {
			t.Errorf("line %d is long, or has tabs or trailing space: %s", i+1, line)
		}
	}
}
