package main

import (
	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/demo"
)

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole thing on this machine: simulated platform, real FFmpeg, dashboard",
		Long: "Run the real controller against a simulated platform on this machine: a viewer comes, a real FFmpeg\n" +
			"publishes, the viewer leaves, and FFmpeg is stopped.\n" +
			"Then random viewers come and go until Ctrl-C. Nothing leaves this machine.",
		Args: noArgs,
	}
	o := demo.Options{}
	cmd.Flags().BoolVar(&o.Install, "install", false, "install gcc and ffmpeg with apt when they are missing")
	cmd.Flags().BoolVar(&o.Once, "once", false, "end after one cycle, with exit code 0 or 1")
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:8081", "address of the status page, `HOST:PORT`")
	cmd.Flags().BoolVarP(&o.Verbose, "verbose", "v", false, "show the controller's own log, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Version, _, _ = build()
		o.ListenSet = cmd.Flags().Changed("listen")
		if done, err := o.Prepare(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()); done || err != nil {
			return err
		}
		return demo.Run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}
