package client

import (
	"testing"

	"github.com/oncue/oncue/controller"
)

func TestMessage(t *testing.T) {
	t.Parallel()
	var m message
	for _, line := range []string{
		": a comment", "id: 17", "event: stream", `data: {"id":"A/x",`, `data:"phase":"live"}`,
	} {
		m.add(line)
	}
	ch, ok := m.change()
	if !ok || ch.Stream == nil || ch.Stream.ID != "A/x" || ch.Stream.Phase != controller.PhaseLive || m.id != "17" {
		t.Errorf("got %+v, %t", ch, ok)
	}
	for _, bad := range []message{
		{event: "stream", data: "{"}, {event: "stream", data: "null"}, {event: "other", data: "{}"}, {},
	} {
		if _, ok := bad.change(); ok {
			t.Errorf("%+v is taken", bad)
		}
	}
}
