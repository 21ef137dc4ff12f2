// Package fake is an encoder without hardware, for trials, tests and the demo. It is a complete
// driver: each fault of a box is a setting, and each thing a person can do at a box is a method.
//
// Like a real box it keeps running while the controller is down: its state is in fake.json in its
// folder, with wall-clock times. A shell presses its buttons by writing start, stop, die or stall
// to a file named press in that folder:
//
//	echo die > DIR/press
package fake

import (
	"errors"
	"fmt"
	"time"
)

// Settings says how the fake behaves. Delays of 0 mean at once; the other zero values mean: never,
// or no such fault.
type Settings struct {
	StartDelay time.Duration `yaml:"start_delay" doc:"from a start to publishing; 0 = at once"`
	StopDelay  time.Duration `yaml:"stop_delay" doc:"from a stop to gone; 0 = at once"`

	StartError string `yaml:"start_error" doc:"what a refused start says; alone, it refuses every start"`
	FailStarts int    `yaml:"fail_starts" min:"0" doc:"refuse this many starts, then take them"`
	StopError  string `yaml:"stop_error" doc:"what a refused stop says; alone, it refuses every stop"`
	FailStops  int    `yaml:"fail_stops" min:"0" doc:"refuse this many stops, then take them"`
	Permanent  bool   `yaml:"permanent" doc:"refused starts and deaths are ones that trying again cannot cure"`

	DieAfter   time.Duration `yaml:"die_after" doc:"ends by itself after publishing this long; 0 = never"`
	DieError   string        `yaml:"die_error" doc:"what it says of that"`
	StallAfter time.Duration `yaml:"stall_after" doc:"stops delivering after publishing this long, and goes on running; 0 = never"`

	HangStart   bool          `yaml:"hang_start" doc:"a start gets no answer before the controller gives it up"`
	IgnoreStop  bool          `yaml:"ignore_stop" doc:"a stop is taken and never followed"`
	StatusDelay time.Duration `yaml:"status_delay" doc:"a look at the box takes this long"`
	Unreachable bool          `yaml:"unreachable" doc:"the box cannot be asked"`
	ConfigOnly  bool          `yaml:"config_only" doc:"live says that the box is switched on, not that it delivers"`

	BitrateBPS float64 `yaml:"bitrate_bps" min:"0" doc:"measured while publishing, bits per second"`
	FPS        float64 `yaml:"fps" min:"0" doc:"measured while publishing, frames per second"`
	Dropped    int64   `yaml:"dropped" min:"0" doc:"frames that each run drops"`
	Congestion float64 `yaml:"congestion" min:"0" max:"1" doc:"of the line, from 0 to 1"`
}

// Defaults returns the settings of a box without faults.
func Defaults() Settings { return Settings{BitrateBPS: 3_000_000, FPS: 30} }

// Validate reports every impossible value.
func (s Settings) Validate() error {
	var errs []error
	for _, d := range []struct {
		key   string
		value float64
	}{
		{"start_delay", float64(s.StartDelay)}, {"stop_delay", float64(s.StopDelay)},
		{"die_after", float64(s.DieAfter)}, {"stall_after", float64(s.StallAfter)},
		{"status_delay", float64(s.StatusDelay)}, {"fail_starts", float64(s.FailStarts)},
		{"fail_stops", float64(s.FailStops)}, {"bitrate_bps", s.BitrateBPS}, {"fps", s.FPS},
		{"dropped", float64(s.Dropped)},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s: is negative, must be 0 or more", d.key))
		}
	}
	if s.Congestion < 0 || s.Congestion > 1 {
		errs = append(errs, fmt.Errorf("congestion: is %v, must be from 0 to 1", s.Congestion))
	}
	return errors.Join(errs...)
}

// startRefused is the error of the start with this number, "" when it succeeds. Numbers begin at 1.
func (s Settings) startRefused(number int) string {
	return refused(s.StartError, s.FailStarts, number, "start")
}

// stopRefused is the same for stops.
func (s Settings) stopRefused(number int) string {
	return refused(s.StopError, s.FailStops, number, "stop")
}

func refused(text string, first, number int, what string) string {
	switch {
	case number <= first && text == "":
		return "the fake box refuses to " + what
	case number <= first, first == 0:
		return text
	}
	return ""
}
