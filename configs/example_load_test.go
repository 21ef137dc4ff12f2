package configs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/encoders/fake"
)

// drivers is the registry of drivers, as the loader needs it.
var drivers = map[string]func() any{
	"fake": func() any { s := fake.Defaults(); return &s },
}

func ExampleLoad() {
	path, done := write(`
accounts:
  ABC123: {webhook_secrets: [MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3]}
encoders:
  bench: {fake: {start_delay: 200ms}}
streams:
  lobby: {encoder: bench, idle_timeout: 2m}
  "cam-*": {encoder: bench}
`)
	defer done()
	c, warnings, err := configs.Load(path, drivers)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range warnings {
		fmt.Println(w)
	}
	for _, name := range []string{"lobby", "cam-7"} {
		s, matches, ok := c.Lookup("ABC123", name)
		fmt.Println(name, ok, s.Timing.IdleTimeout, matches)
	}

	// Output:
	// lobby true 2m0s []
	// cam-7 true 1m0s [7]
}

// All mistakes of a file are reported at once, each at its place.
func ExampleLoad_mistakes() {
	path, done := write(`
encoders:
  bench: {fake: {start_delay: soon}}
streams:
  lobby: {encoder: bench, confirm: fed, idle_timeout: 2 minutes}
`)
	defer done()
	_, _, err := configs.Load(path, drivers)
	var problems configs.Problems
	if !errors.As(err, &problems) {
		fmt.Println("the file is good, or could not be read:", err)
	}
	for _, p := range problems {
		fmt.Printf("line %d, column %d: %s\n\t%s\n", p.Line, p.Col, p.Key, p.Text)
	}

	// Output:
	// line 3, column 31: encoders.bench.fake.start_delay
	// 	"soon" is not a duration; allowed: 500ms, 30s, 2m, 1h30m, 7d
	// line 5, column 3: streams.lobby
	// 	belongs to no account; name the platform's account under accounts
	// line 5, column 36: streams.lobby.confirm
	// 	"fed" is not allowed; did you mean "feed"? allowed: feed, encoder
	// line 5, column 55: streams.lobby.idle_timeout
	// 	"2 minutes" is not a duration; allowed: 500ms, 30s, 2m, 1h30m, 7d
}

// write makes a file with the text; done removes it.
func write(text string) (path string, done func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(dir, "oncue.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	return path, func() { _ = os.RemoveAll(dir) }
}
