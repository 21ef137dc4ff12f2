package systemd

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLicenses: the package names the licence of everything that is compiled into its binary, and
// contains the licence texts.
func TestLicenses(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	run(t, "dpkg-deb", "--extract", needPackages(t).newer, root)
	doc := filepath.Join(root, "usr/share/doc/oncue")
	info, err := buildinfo.ReadFile(filepath.Join(root, "usr/bin/oncue"))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{"std": info.GoVersion, "sqlite": "3."}
	for _, m := range info.Deps {
		parts[m.Path] = m.Version
	}
	copyright, err := os.ReadFile(filepath.Join(doc, "copyright"))
	if err != nil {
		t.Fatal(err)
	}
	notice := run(t, "gzip", "-dc", filepath.Join(doc, "NOTICE.gz"))
	for name, version := range parts {
		if !strings.Contains(string(copyright), "\nFiles: "+name+"/*\n") ||
			!strings.Contains(notice, "  "+name+" "+version) {
			t.Errorf("%s %s has no licence in copyright or NOTICE", name, version)
		}
	}
	for _, text := range []string{
		"Apache License\n", "Mozilla Public License, version 2.0", "Permission is hereby granted, free of charge",
		"Redistribution and use in source",
		"Permission to use, copy, modify, and distribute this software", "May you do good and not evil.",
		"Copyright (c) 2014 Yasuhiro Matsumoto",
	} {
		if !strings.Contains(notice, text) {
			t.Errorf("NOTICE lacks %q", text)
		}
	}
	var bill struct {
		Components []struct {
			Name, Version string
			Licenses      []struct{ License struct{ ID string } }
		}
	}
	data, err := os.ReadFile(filepath.Join(doc, "sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &bill); err != nil {
		t.Fatal(err)
	}
	for _, c := range bill.Components {
		if len(c.Licenses) == 0 || c.Licenses[0].License.ID == "" || !strings.HasPrefix(c.Version, parts[c.Name]) {
			t.Errorf("in the bill of materials: %+v", c)
		}
		delete(parts, c.Name)
	}
	if delete(parts, "std"); len(parts) > 0 {
		t.Errorf("not in the bill of materials: %v", parts)
	}
}
