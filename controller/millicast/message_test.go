package millicast

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// documented are the vendor's examples of hooks (documentation of 2026-08, "Media Hooks",
// "Transcoder Hooks", "Feeds Hooks") with the account of these tests, and what the journal has of
// them.
var documented = []struct {
	event, stream string
	data          string
	verdict       controller.Verdict
}{
	{"media.processing", "ABC123/test-record-clip", `{"mediaAssetId":"c6631104197a4091943775697948adbe",
		"tokenId":1187282,"streamName":"test-record-clip","streamId":"ABC123/test-record-clip",
		"startTime":1725259930643,"type":"clip",
		"metadata":{},"expiration":1733900336143}`, controller.Ignored},
	{"media.completed", "ABC123/test-record-clip", `{"mediaAssetId":"e0ca421e3ee748629d073b6991d4d93d",
		"tokenId":1187282,"streamName":"test-record-clip","streamId":"ABC123/test-record-clip",
		"startTime":1725259874671,"metadata":{},
		"type":"clip","expiration":1733900336143}`, controller.Ignored},
	{"media.errored", "ABC123/qa", `{"mediaAssetId":"f26120d4443b474b8b1d6e1ecfcbd369","tokenId":1090418,
		"streamName":"qa","streamId":"ABC123/qa","startTime":1725245888000,"type":"recording",
		"expiration":1733896321029}`, controller.Ignored},
	{"media.completed", "", `{"mediaAssetId":"a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6","channelId":"a1b2c3d4e5f6g7h8u9j0k1l2m",
		"startTime":1725259874671,"type":"clip","expiration":1733900336143}`, controller.Ignored},
	{"transcoder.ACTIVE", "", `{"transcoderId":"0d09f40-2988-47aa-8ac7-dca04b971cf","transcoderName":"test_webhooks",
		"cluster":"lon-1","createdOn":"2024-08-29T00:00:00Z","status":"Active"}`, controller.Ignored},
	{"transcoder.STOPPED", "", `{"transcoderId":"fddcbce-e3a3-4efe-8a42-060c31189a2","transcoderName":"test_webhooks",
		"cluster":"lon-1","createdOn":"2024-08-29T00:00:00Z","status":"Shutdown"}`, controller.Ignored},
	{"feeds.started", "ABC123/lobby", `{"feedId":"369e4a86-f937-4254-bd9f-99dc484d2bd6","accountId":"ABC123",
		"name":"lobby","streamId":"ABC123/lobby","started":1638463486359,"active":true,"sourceId":"1",
		"priority":100,"simulcastId":""}`,
		controller.Accepted},
	{"feeds.ended", "ABC123/lobby", `{"feedId":"369e4a86-f937-4254-bd9f-99dc484d2bd6","accountId":"ABC123",
		"name":"lobby","streamId":"ABC123/lobby","active":false,"ended":1638463500963,"sourceId":"1",
		"simulcastId":"cam"}`,
		controller.Accepted},
}

func TestDocumentedHooksAreTakenAndStored(t *testing.T) {
	for _, c := range documented {
		g := newRig(t, oneAccount())
		var typ, event string
		for _, e := range events {
			if e.typ+"."+e.event == c.event {
				typ, event = e.typ, e.event
			}
		}
		body := Message{typ, event, vectorTime, json.RawMessage(c.data)}.Body()
		verdict, err := g.send(secret.New(vectorSecret), body)
		if err != nil || verdict != c.verdict {
			t.Errorf("%s: verdict %q, error %v, want %q", c.event, verdict, err, c.verdict)
		}
		records := g.journaled()
		if len(records) != 1 {
			t.Fatalf("%s: %d records", c.event, len(records))
		}
		r := records[0]
		if r.Type != typ || r.Event != event || string(r.Stream) != c.stream || string(r.Body) != string(body) {
			t.Errorf("%s: record %+v", c.event, r)
		}
	}
}

// What NewMessage makes has the members of the vendor's examples, of the same JSON types.
func TestMessagesHaveTheDocumentedMembers(t *testing.T) {
	shape := func(data []byte) map[string]string {
		var members map[string]any
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatal(err)
		}
		types := map[string]string{}
		for name, v := range members {
			switch v.(type) {
			case string:
				types[name] = "text"
			case float64:
				types[name] = "number"
			case bool:
				types[name] = "boolean"
			}
		}
		return types
	}
	optional := []string{"expiration", "sourceId", "priority", "simulcastId"}
	for _, c := range documented {
		if c.stream == "" && c.event == "media.completed" {
			continue // of another product's channel, without a stream
		}
		m, err := NewMessage(c.event, "ABC123", "lobby", "17", time.UnixMilli(1638463486359))
		if err != nil {
			t.Fatal(err)
		}
		made, err := json.Marshal(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		want := shape([]byte(c.data))
		for _, name := range optional {
			delete(want, name)
		}
		if d := cmp.Diff(want, shape(made)); d != "" {
			t.Errorf("%s (-documented +made):\n%s", c.event, d)
		}
	}
	m, err := NewMessage("recording.started", "ABC123", "lobby", "not-a-number", vectorTime)
	if err != nil {
		t.Fatal(err)
	}
	if id := m.Data.(RecordingData).RecordFileID; id <= 0 {
		t.Errorf("the recording's id is %d", id)
	}
}
