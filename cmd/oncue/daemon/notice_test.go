package daemon

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs"
)

// TestNoticeOfTheStart: what goes wrong while the daemon comes up is told like anything later.
func TestNoticeOfTheStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	told := make(chan string, 10)
	people := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- string(body)
	}))
	defer people.Close()
	dir := t.TempDir()
	path, data := filepath.Join(dir, "oncue.yaml"), filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "oncue.db"), []byte(strings.Repeat("no database ", 1000)),
		0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: \"unix:%s\"}\ndata_dir: %s\nnotify: [{url: %s}]\n",
		filepath.Join(dir, "admin.sock"), data, people.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path, os.Stderr, func(configs.Problem) {})
	if err != nil {
		t.Fatal(err)
	}
	svc, err := Start(ctx, cfg, Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer svc.Stop()
	select {
	case got := <-told:
		if !strings.Contains(got, `"oncue.store_corrupt"`) {
			t.Error(got)
		}
	case <-ctx.Done():
		t.Error("nobody is told that the database was replaced")
	}
}
