package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs/presets"
)

func newPresets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "presets",
		Short: "List the devices that the drivers http and tcp know by name",
		Long: "List the devices that the drivers http and tcp know by name. In the configuration: encoders: {stage: " +
			"{http: {preset: NAME, url: http://10.0.0.9}}}, or {tcp: {preset: NAME, address: 10.0.0.9:9977}}.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var rows [][]term.Cell
			for _, shelf := range presets.Shelves {
				for _, name := range shelf.Names() {
					about, err := shelf.About(name)
					if err != nil {
						return err
					}
					rows = append(rows, []term.Cell{{Text: name}, {Text: shelf.Driver}, {Text: about}})
				}
			}
			columns := []term.Column{{Name: "PRESET"}, {Name: "DRIVER"}, {Name: "DEVICES", Fit: term.Folded, Least: 30}}
			term.NewScreen(cmd.OutOrStdout()).Table(columns, rows)
			return nil
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:       "show NAME",
		Short:     "Print a preset, to learn from it or to change a copy",
		Args:      argsBetween(1, 1),
		ValidArgs: presets.Names(),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := presets.Get(args[0])
			if err != nil {
				return term.Usage(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s", text)
			return err
		},
	})
	return cmd
}
