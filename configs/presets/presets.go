// Package presets is the shelf of devices that drivers know by name. Each is a YAML file in the
// words of a user's own settings; its comments say where its facts come from and how sure they are.
package presets

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.yaml tcp/*.yaml
var files embed.FS

// Shelf holds the presets of one driver.
type Shelf struct {
	Driver string // its key in the configuration
	folder string
}

var (
	HTTP = Shelf{"http", "."}
	TCP  = Shelf{"tcp", "tcp"}
)

// Shelves are all there are.
var Shelves = []Shelf{HTTP, TCP}

// Names lists the presets, sorted.
func (s Shelf) Names() []string {
	entries, err := files.ReadDir(s.folder)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Get returns a preset as it is written. The error of an unknown name lists those that exist.
func (s Shelf) Get(name string) ([]byte, error) {
	text, err := files.ReadFile(strings.TrimPrefix(s.folder+"/"+name+".yaml", "./"))
	if err != nil {
		return nil, fmt.Errorf("there is no preset %q; allowed: %s", name, strings.Join(s.Names(), ", "))
	}
	return text, nil
}

// About is the first line of a preset's header: which devices, and how sure.
func (s Shelf) About(name string) (string, error) {
	text, err := s.Get(name)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "#")), nil
}

// Names lists the presets of all drivers, sorted. No two have the same name.
func Names() []string {
	var names []string
	for _, s := range Shelves {
		names = append(names, s.Names()...)
	}
	slices.Sort(names)
	return names
}

// Get returns a preset of any driver as it is written. The error of an unknown name lists those
// that exist.
func Get(name string) ([]byte, error) {
	for _, s := range Shelves {
		if text, err := s.Get(name); err == nil {
			return text, nil
		}
	}
	return nil, fmt.Errorf("there is no preset %q; allowed: %s", name, strings.Join(Names(), ", "))
}
