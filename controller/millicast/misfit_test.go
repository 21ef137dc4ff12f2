package millicast

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestMisfit(t *testing.T) {
	type inner struct {
		Live *bool `json:"live"`
	}
	for text, want := range map[string]string{
		`{"name":5}`:                "name must be text, not a number",
		`{"name":["x"]}`:            "name must be text, not a list",
		`{"count":1.5}`:             "count must be a whole number, not 1.5",
		`{"count":true}`:            "count must be a whole number, not true or false",
		`{"share":"x"}`:             "share must be a number, not text",
		`{"data":{}}`:               "data must be a list, not an object",
		`{"data":[{"live":"yes"}]}`: "data.live must be true or false, not text",
		`[]`:                        "it must be an object, not a list",
		`"x"`:                       "it must be an object, not text",
		`{"name":"x"`:               "it ends in the middle of the JSON",
		``:                          "it is empty",
		`{"name":x}`:                "it is not JSON at byte 9",
		`{"fur":"2h"}`:              `"fur" is not one of its fields`,
	} {
		var into struct {
			Name  string  `json:"name"`
			Count int     `json:"count"`
			Share float64 `json:"share"`
			Data  []inner `json:"data"`
		}
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&into); err == nil || Misfit(err) != want {
			t.Errorf("%s: %v:\n got %s\nwant %s", text, err, Misfit(err), want)
		}
	}
}
