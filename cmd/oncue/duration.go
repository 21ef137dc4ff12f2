package main

import (
	"fmt"
	"time"

	"github.com/oncue/oncue/configs/words"
)

// durationFlag is a flag's duration, written as in the configuration: 30m, 2h, 1d.
type durationFlag time.Duration

// Set implements [pflag.Value].
func (d *durationFlag) Set(text string) error {
	got, err := words.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("it %w", err)
	}
	*d = durationFlag(got)
	return nil
}

func (d *durationFlag) String() string {
	if *d == 0 {
		return "" // so that the help shows no default
	}
	return words.FormatDuration(time.Duration(*d))
}

// Type implements [pflag.Value].
func (d *durationFlag) Type() string { return "duration" }
