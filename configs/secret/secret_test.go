package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
)

// TestNeverPrinted prints a secret in every way that a program prints.
func TestNeverPrinted(t *testing.T) {
	const canary = "canary-5f1e"
	v := secret.New(canary)
	inside := struct {
		Shown  secret.Value
		hidden secret.Value
		deep   []secret.Value
		m      map[string]secret.Value
	}{v, v, []secret.Value{v}, map[string]secret.Value{"k": v}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v, "in", inside)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v, "in", inside)
	data, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	f := fmt.Sprintf // past vet, which finds this use as odd as it is
	printed := strings.Join([]string{fmt.Sprint(v), f("%v %+v %#v %s %q %d %x", v, v, v, v, v, v, v),
		f("%v %+v %#v %s", inside, inside, inside, inside),
		fmt.Sprintf("%v", &inside), log.String(), string(data), fmt.Errorf("x: %v", inside).Error()}, "\n")
	if strings.Contains(printed, canary) || strings.Contains(printed, fmt.Sprintf("%x", canary)) {
		t.Errorf("the secret is printed:\n%s", printed)
	}
	if v.Reveal() != canary || !v.Equal(canary) || v.Equal("canary") || !v.Same(secret.New(canary)) ||
		v.Same(secret.Value{}) || secret.New("").Set() {
		t.Error("the secret itself is not kept")
	}
}
