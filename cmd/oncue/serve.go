package main

import (
	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the controller",
		Long: "Run the controller until SIGTERM or Ctrl-C. Encoders then keep running (on_exit: leave) and are\n" +
			"adopted at the next start.\n" +
			"SIGHUP and oncue reload make it read the configuration again; with --watch, so does a change of the\n" +
			"file. If the file has a mistake, nothing changes.",
		Args: noArgs,
	}
	path := client.ConfigFlag(cmd)
	watch := cmd.Flags().Bool("watch", false, "reload when the configuration file changes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, _, _ := build()
		return daemon.Serve(cmd.Context(), *path, *watch, v, cmd.ErrOrStderr())
	}
	return cmd
}
