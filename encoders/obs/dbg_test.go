package obs

import (
	"context"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders/obs/obstest"
)

func TestDbg(t *testing.T) {
	in := newIngest(t)
	o := obstest.Start(t, obstest.Config{Server: in.url, Key: "lobby?token=abc"})
	t0 := time.Now()
	started, stopped := make(chan bool, 10), make(chan bool, 10)
	s, err := dial(context.Background(), target{address: o.Address, password: o.Password}, 5*time.Second, func(e event) {
		t.Log(time.Since(t0), e.Type, string(e.Data))
		if e.Type == "StreamStateChanged" {
			switch {
			case contains(e.Data, "_STARTED"):
				started <- true
			case contains(e.Data, "_STOPPED"):
				stopped <- true
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	do := func(k string) {
		var st streamStatus
		err := s.do(context.Background(), 5*time.Second, k, nil, nil)
		s.do(context.Background(), 5*time.Second, "GetStreamStatus", nil, &st)
		t.Log(time.Since(t0), k, err, st)
	}
	time.Sleep(2 * time.Second)
	for _, gap := range []time.Duration{0, 50, 100, 200, 500} {
		t.Log("gap", gap)
		do("StartStream")
		select {
		case <-started:
		case <-time.After(8 * time.Second):
			t.Log("no STARTED")
			do("StartStream")
			<-started
		}
		time.Sleep(500 * time.Millisecond)
		do("StopStream")
		<-stopped
		do("GetStats")
		time.Sleep(gap * time.Millisecond)
	}
}

func contains(b []byte, s string) bool { return len(b) > 0 && string(b) != "" && (func() bool { for i := 0; i+len(s) <= len(b); i++ { if string(b[i:i+len(s)]) == s { return true } }; return false })() }
