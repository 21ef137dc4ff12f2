package runner

import (
	"testing"

	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// TestWarningIsTold: readers are told when what an encoder warns of is all that has changed.
func TestWarningIsTold(t *testing.T) {
	var quiet, warns machine.State
	quiet.Encoders = []machine.Encoder{{}}
	warns.Encoders = []machine.Encoder{{Seen: encoders.Status{Warning: "the box is warm"}}}
	if same(&quiet, &warns) || !same(&warns, &warns) {
		t.Error("a warning does not count as news")
	}
}
