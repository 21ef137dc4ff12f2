package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/record"
	"github.com/oncue/oncue/cmd/oncue/term"
)

// tryRecord guesses the settings of a box from what a browser sent to it, and prints them, or
// writes them with the exchanges into a folder.
func tryRecord(cmd *cobra.Command, file, folder, name string) error {
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(cmd.InOrStdin())
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return err
	}
	all, err := record.Read(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	g, err := record.Make(all, name)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if folder == "" {
		fmt.Fprint(cmd.OutOrStdout(), g.Settings)
	} else {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		base := filepath.Join(folder, daemon.DeviceDir(name))
		for path, text := range map[string]string{base + ".yaml": g.Settings, base + ".json": string(g.Fixtures)} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return err
			}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s.yaml: the settings that were guessed, and why\n"+
			"%[1]s.json: the requests and answers, secrets taken out, for a test of a preset\n", base)
	}
	if len(g.Missing) > 0 {
		return term.Hint(fmt.Errorf("not found among the requests: %s", strings.Join(g.Missing, ", ")),
			"record once more: log in, look at the state, press start, wait until it is on, press stop, wait until it is off")
	}
	return nil
}
