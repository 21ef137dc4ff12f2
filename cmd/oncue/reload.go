package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
)

func newReload() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration again",
		Long: "Have the running daemon read its configuration again. Running encoders are left alone.\n" +
			"If the file has mistakes, nothing changes: they are printed, and the exit code is 1.\n" +
			"The daemon keeps the environment of its start: after a change of oncue.env restart it\n" +
			"(systemctl restart oncue), which loses no hook and no encoder.",
		Args: noArgs,
	}
	client.Flags(cmd)
	pid := cmd.Flags().Int("pid", 0, "signal this `PROCESS` instead of asking at the admin side; "+
		"for ExecReload= of a unit with a RuntimeDirectory=")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var refused []string
		var err error
		if *pid != 0 {
			refused, err = daemon.ReloadBySignal(*pid)
		} else {
			refused, err = reloadByAdmin(cmd)
		}
		if err != nil {
			return err
		}
		if len(refused) == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "the configuration was reloaded")
			return nil
		}
		return saidRefused(cmd.ErrOrStderr(), refused)
	}
	return cmd
}

func saidRefused(errs io.Writer, refused []string) error {
	errs = term.Graded(errs, term.PriorityError)
	for _, p := range refused {
		fmt.Fprintln(errs, term.Harmless(p))
	}
	err := errors.New("the configuration was not reloaded; the one before stays in force")
	fmt.Fprintf(errs, "error: %v\n", err)
	return term.Said(err)
}

func reloadByAdmin(cmd *cobra.Command) ([]string, error) {
	c, err := client.Find(cmd)
	if err != nil {
		return nil, err
	}
	err = c.Call(cmd.Context(), http.MethodPost, "/api/v1/reload", nil, nil)
	if r, ok := errors.AsType[*client.Refusal](err); ok && len(r.Problems) > 0 {
		return r.Problems, nil
	}
	return nil, err
}
