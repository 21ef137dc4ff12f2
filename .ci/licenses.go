// Licenses gathers the licences of everything that is compiled into a binary: `go run
// .ci/licenses.go BINARY DIR`. It writes to DIR/NOTICE the whole texts, and to DIR/copyright the
// package's copyright file with a paragraph for each component; and it completes the bill of
// materials BINARY.cdx.json by SQLite, which is C inside a Go module, and by licences that are
// missing. A component whose licence is not found or not known is an error.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run .ci/licenses.go BINARY DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error: licences:", err)
		os.Exit(1)
	}
}

// component is something with a licence of its own.
type component struct {
	name, version string
	source        string   // where it can be got
	licences      []string // SPDX
	texts         []string
}

func run(binary, dir string) error {
	all, err := components(binary)
	if err != nil {
		return err
	}
	header, err := os.ReadFile("systemd/copyright")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "copyright"), append(header, paragraphs(all)...), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "NOTICE"), notice(all), 0o644); err != nil {
		return err
	}
	return completeBill(binary+".cdx.json", all)
}

// components lists what the binary says of itself, sorted, the Go runtime and SQLite among it.
func components(binary string) ([]component, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	std := component{name: "std", version: info.GoVersion, source: "https://go.dev"}
	all := []component{}
	if err := std.read(strings.TrimSpace(string(root)), false); err != nil {
		return nil, err
	}
	all = append(all, std)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		out, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
		if err != nil {
			return nil, fmt.Errorf("get %s: %w", m.Path, err)
		}
		var got struct{ Dir string }
		if err := json.Unmarshal(out, &got); err != nil {
			return nil, err
		}
		c := component{name: m.Path, version: m.Version, source: "https://pkg.go.dev/" + m.Path + "@" + m.Version}
		if err := c.read(got.Dir, true); err != nil {
			return nil, err
		}
		all = append(all, c)
		if m.Path == "github.com/mattn/go-sqlite3" {
			sqlite, err := sqliteIn(got.Dir)
			if err != nil {
				return nil, err
			}
			all = append(all, sqlite)
		}
	}
	slices.SortFunc(all, func(a, b component) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// sqliteIn reads what the amalgamation says at its beginning.
func sqliteIn(dir string) (component, error) {
	text, err := os.ReadFile(filepath.Join(dir, "sqlite3-binding.h"))
	if err != nil {
		return component{}, err
	}
	version := regexp.MustCompile(`#define SQLITE_VERSION +"([0-9.]+)"`).FindSubmatch(text)
	blessing := regexp.MustCompile(`(?s)\*\* (The author disclaims.*?)\n\*{10,}`).FindSubmatch(text)
	if version == nil || blessing == nil {
		return component{}, errors.New("sqlite3-binding.h does not say which SQLite it is")
	}
	return component{
		name: "sqlite", version: string(version[1]), source: "https://sqlite.org", licences: []string{"blessing"},
		texts: []string{regexp.MustCompile(`(?m)^\*\* ?`).ReplaceAllString(string(blessing[1]), "")},
	}, nil
}

var (
	licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|notice|copyright)([.-].*)?$`)
	notShipped  = regexp.MustCompile(`^(testdata|vendor|_.*|\..*|examples?|docs?)$`)
	sourceCode  = regexp.MustCompile(`\.(go|html|js|css|yaml|json)$`)
)

// read collects the licence texts of a folder, and of those below it when they may hold code of
// others.
func (c *component) read(dir string, below bool) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && (!below || notShipped.MatchString(d.Name())):
			return filepath.SkipDir
		case d.IsDir() || !licenceFile.MatchString(d.Name()) || sourceCode.MatchString(d.Name()):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		plain := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
		if plain == "" || slices.Contains(c.texts, plain) {
			return nil
		}
		c.texts = append(c.texts, plain)
		if id := identify(plain); id != "" && !slices.Contains(c.licences, id) {
			c.licences = append(c.licences, id)
		}
		return nil
	})
	if err == nil && len(c.licences) == 0 {
		err = fmt.Errorf("%s@%s: no licence that is known among the %d texts in %s", c.name, c.version, len(c.texts), dir)
	}
	return err
}

// identify knows a licence by its words; "" for none.
func identify(text string) string {
	words := strings.Join(strings.Fields(text), " ")
	has := func(s string) bool { return strings.Contains(words, s) }
	switch {
	case has("Apache License") && has("Version 2.0"):
		return "Apache-2.0"
	case has("Mozilla Public License") && regexp.MustCompile(`(?i)version 2\.0`).MatchString(words):
		return "MPL-2.0"
	case has("Permission is hereby granted, free of charge"):
		return "MIT"
	case has("Permission to use, copy, modify, and distribute this software"),
		has("Permission to use, copy, modify, and/or distribute this software"):
		return "ISC"
	case has("Redistribution and use in source and binary forms") && has("Neither the name"):
		return "BSD-3-Clause"
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	}
	return ""
}

var copyrightLine = regexp.MustCompile(`(?im)^[ \t/*#]*((?:copyright\b|\(c\) |©).*[0-9A-Za-z].*)$`)

// holders are the copyright lines of the texts, without those of the texts' own forms.
func (c *component) holders() []string {
	var lines []string
	for _, text := range c.texts {
		for _, m := range copyrightLine.FindAllStringSubmatch(text, -1) {
			line := strings.Join(strings.Fields(m[1]), " ")
			dated := regexp.MustCompile(`[0-9]{4}|©|\([cC]\)`).MatchString(line) && !strings.Contains(line, "yyyy")
			if dated && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		lines = []string{"the authors of " + c.name}
	}
	return lines
}

// common are the licences of which Debian has the text.
var common = map[string]string{"Apache-2.0": "Apache-2.0", "MPL-2.0": "MPL-2.0"}

// paragraphs are those of the machine-readable copyright file for what is not ours. Debian says
// Expat for MIT, whose text the file has already.
func paragraphs(all []component) []byte {
	var b bytes.Buffer
	var ids []string
	for _, c := range all {
		names := slices.Clone(c.licences)
		for i, id := range names {
			if id == "MIT" {
				names[i] = "Expat"
			} else if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		fmt.Fprintf(&b, "\nFiles: %s/*\nCopyright: %s\nLicense: %s\nComment: compiled in, %s; source: %s\n",
			c.name, strings.Join(c.holders(), "\n "), strings.Join(names, " and "), c.version, c.source)
	}
	slices.Sort(ids)
	for _, id := range ids {
		fmt.Fprintf(&b, "\nLicense: %s\n The whole text of each component is in /usr/share/doc/oncue/NOTICE.gz.\n", id)
		if file, ok := common[id]; ok {
			fmt.Fprintf(&b, " On Debian systems, that of the licence is in\n /usr/share/common-licenses/%s, too.\n", file)
		}
	}
	return b.Bytes()
}

// notice holds the texts; one that several components share stands once.
func notice(all []component) []byte {
	var b bytes.Buffer
	b.WriteString("oncue contains the following components, each under its own licence.\n\n")
	var texts []string
	whose := map[string][]string{}
	for _, c := range all {
		fmt.Fprintf(&b, "  %s %s (%s)\n    %s\n", c.name, c.version, strings.Join(c.licences, ", "), c.source)
		for _, text := range c.texts {
			if whose[text] == nil {
				texts = append(texts, text)
			}
			whose[text] = append(whose[text], c.name)
		}
	}
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(whose[text], "\n"), text)
	}
	return b.Bytes()
}

// completeBill adds what cyclonedx-gomod does not see.
func completeBill(path string, all []component) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var bill map[string]any
	if err := json.Unmarshal(data, &bill); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	listed, _ := bill["components"].([]any)
	licences := func(c component) (list []any) {
		for _, id := range c.licences {
			list = append(list, map[string]any{"license": map[string]any{"id": id}})
		}
		return list
	}
	for _, c := range all {
		i := slices.IndexFunc(listed, func(l any) bool { return l.(map[string]any)["name"] == c.name })
		switch {
		case i >= 0:
			delete(listed[i].(map[string]any), "evidence")
			listed[i].(map[string]any)["licenses"] = licences(c)
		case c.name == "sqlite":
			purl := "pkg:generic/sqlite@" + c.version
			listed = append(listed, map[string]any{
				"bom-ref": purl, "type": "library", "name": c.name, "version": c.version, "scope": "required", "purl": purl,
				"licenses": licences(c), "externalReferences": []any{map[string]any{"type": "website", "url": c.source}},
			})
		case c.name != "std":
			return fmt.Errorf("%s does not list %s", path, c.name)
		}
	}
	bill["components"] = listed
	if meta, ok := bill["metadata"].(map[string]any); ok {
		if own, ok := meta["component"].(map[string]any); ok {
			own["licenses"] = licences(component{licences: []string{"MIT"}})
		}
	}
	out, err := json.MarshalIndent(bill, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(out, '\n'), 0o644)
}
