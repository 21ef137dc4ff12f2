package configs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
)

// TestSettingsComeBack writes and reads settings of every type that drivers use.
func TestSettingsComeBack(t *testing.T) {
	type inner struct {
		Text string
		Wait time.Duration
	}
	type Embedded struct{ Host string }
	type word string
	type settings struct {
		Embedded
		Password secret.Value
		On       bool
		Kind     word
		Count    int
		Size     Size
		Share    float64
		Words    []string
		Steps    []inner
		Headers  map[string]secret.Value
		Numbers  map[string]int
		Some     *int
		None     *inner
		Tree     any
	}
	seven := 7
	want := &settings{
		Embedded: Embedded{"10.0.0.7"}, Password: secret.New("p: [x"), On: true, Kind: "copy", Count: -3, Size: 1 << 40,
		Share: 0.25, Words: []string{"a", "", "null", "08"},
		Steps:   []inner{{"x", 90 * time.Second}, {}},
		Headers: map[string]secret.Value{"Authorization": secret.New("Bearer x")}, Numbers: map[string]int{"n": 1},
		Some: &seven, Tree: map[string]any{"a": []any{1, "1", nil, true, 1.5, map[string]any{"b": "2"}}},
	}
	data, err := EncodeSettings(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &settings{Count: 99, None: &inner{}} // what stood there before does not matter
	if err := DecodeSettings(data, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, sameSecret); diff != "" {
		t.Error(diff)
	}
	if err := DecodeSettings([]byte("Kind: true"), got); err != nil || got.Kind != "true" { // a bool in an earlier version
		t.Errorf("a choice that was true is %q, %v", got.Kind, err)
	}
	for _, bad := range []string{"Count: x", "Words: {}", "Password: [1]", "Unknown: 1", "Steps: [1]", "a: [", "[]"} {
		if err := DecodeSettings([]byte(bad), got); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
