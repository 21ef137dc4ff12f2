package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{Use: "check", Short: "Validate the configuration; print what would run", Args: noArgs}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := loadConfig(*path, cmd.ErrOrStderr(), nil)
		fmt.Fprintln(cmd.OutOrStdout(), "ok")
		return err
	}
	return cmd
}
