package main

import (
	"cmp"
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

// build says what this binary was made from; "unknown" for what is not recorded.
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
	return v, cmp.Or(c, "unknown"), cmp.Or(d, "unknown")
}
