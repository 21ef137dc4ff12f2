// Package presets is the shelf of devices that the HTTP driver knows by name. Each is a YAML file
// in the words of a user's own settings; its comments say where its facts come from and how sure
// they are.
package presets

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Names lists the presets, sorted.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

// Get returns a preset as it is written. The error of an unknown name lists those that exist.
func Get(name string) ([]byte, error) {
	text, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("there is no preset %q; allowed: %s", name, strings.Join(Names(), ", "))
	}
	return text, nil
}

// About is the first line of a preset's header: which devices, and how sure.
func About(name string) (string, error) {
	text, err := Get(name)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "#")), nil
}
