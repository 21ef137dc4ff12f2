package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Set by the release build (-ldflags -X); otherwise read from the build information.
var (
	version = ""
	commit  = ""
	date    = ""
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and date of this build",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, c, d := build()
			fmt.Fprintf(cmd.OutOrStdout(), "oncue %s\ncommit %s\ndate   %s\n%s %s/%s\n", v, c, d, runtime.Version(),
				runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// build tells what this binary is made from; "unknown" where nothing tells.
func build() (v, c, d string) {
	v, c, d = version, commit, date
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && c == "":
				c = s.Value
			case s.Key == "vcs.time" && d == "":
				d = s.Value
			}
		}
		if v == "" {
			v = info.Main.Version
		}
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	return v, orUnknown(c), orUnknown(d)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
