package obs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
)

// TestChallenge is the example of obs-websocket's protocol document.
func TestChallenge(t *testing.T) {
	c := challenge{Challenge: "+IxH4CnCiqpX1rM9scsNynZzbOe4KhDeYcTNS3PDaeY=",
		Salt: "lM1GncleQOaCu9lT1yeUZhFYnqhsLLP1G5lAGo3ixaI="}
	if got, want := c.answer(secret.New("supersecretpassword")),
		"1Ct943GAT+6YQUUX47Ia/ncufilbe6+oD6lY+5kaCu4="; got != want {
		t.Errorf("the answer is %s; want %s", got, want)
	}
}

// FuzzParse checks that a message is of at most one kind, and that an error repeats nothing of it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"op":0,"d":{"authentication":{"challenge":"a","salt":"b"},"obsWebSocketVersion":"5.1.0","rpcVersion":1}}`,
		`{"op":2,"d":{"negotiatedRpcVersion":1}}`,
		`{"op":5,"d":{"eventType":"StreamStateChanged","eventIntent":64,` +
			`"eventData":{"outputActive":true,"outputState":"OBS_WEBSOCKET_OUTPUT_STARTED"}}}`,
		`{"op":7,"d":{"requestId":"0","requestStatus":{"code":100,"result":true},` +
			`"requestType":"StartStream","responseData":{"a":[1]}}}`,
		`{"op":7,"d":{"requestId":7}}`, `{"op":99,"d":null}`, `{"op":"0"}`, `{"update-type":"Heartbeat"}`, `[]`, `null`,
		``, "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(data)
		kinds := 0
		for _, is := range []bool{m.hello != nil, m.identified != nil, m.event != nil, m.response != nil} {
			if is {
				kinds++
			}
		}
		if kinds > 1 || err != nil && kinds > 0 {
			t.Fatalf("a message of %d kinds, with error %v", kinds, err)
		}
		if len(data) > 20 && err != nil && strings.Contains(err.Error(), string(data)) {
			t.Fatalf("the error repeats the message: %v", err)
		}
		if m.event != nil {
			out := output{phase: phaseUnseen}
			var d struct {
				State string `json:"outputState"`
			}
			_ = json.Unmarshal(m.event.Data, &d)
			out.event(d.State, out.since)
		}
		if m.response != nil {
			var st streamStatus
			_ = m.response.result("GetStreamStatus", &st)
		}
	})
}
