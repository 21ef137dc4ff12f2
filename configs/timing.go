package configs

import (
	"slices"
	"sync"
	"time"
)

// Timing is how a stream behaves: when it starts, stops, retries and gives up. Each key comes from
// the stream, else from `defaults:`, else it is built in.
type Timing struct {
	AttemptHold      time.Duration `yaml:"attempt_hold" min:"1ms" doc:"demand kept after the last ViewerAttempt; patient players try again only every 32 s"`
	StartTimeout     time.Duration `yaml:"start_timeout" min:"1ms" doc:"from start to confirmed live; then the start has failed"`
	JoinTimeout      time.Duration `yaml:"join_timeout" doc:"live, but nobody has joined yet: how long to wait"`
	IdleTimeout      time.Duration `yaml:"idle_timeout" doc:"after NoActiveViewers (the platform has already waited 60 s)"`
	StopTimeout      time.Duration `yaml:"stop_timeout" min:"1ms" doc:"from stop to confirmed stopped; then escalate and alarm"`
	MinUptime        time.Duration `yaml:"min_uptime" doc:"once live, stay up at least this long"`
	MaxUptime        time.Duration `yaml:"max_uptime" doc:"once live, stop after this long, whoever is watching; 0 = no cap"`
	Cooldown         time.Duration `yaml:"cooldown" doc:"after a stop, ignore viewers this long"`
	Confirm          string        `yaml:"confirm" enum:"feed,encoder" doc:"live when the platform says so (feed), or when the encoder does (encoder)"`
	Unmanaged        string        `yaml:"unmanaged" enum:"observe,adopt" doc:"a broadcast somebody else started: observe (never stop it) or adopt"`
	ViewersElsewhere string        `yaml:"viewers_elsewhere" enum:"ignore,keep" doc:"a token that re-streams or records: ignore, or keep (once live, stay up until max_uptime)"`
	Mode             string        `yaml:"mode" enum:"all,failover" doc:"several encoders: all at once, or failover (next one when the current fails)"`
	FailoverAfter    int           `yaml:"failover_after" min:"1" doc:"deaths of a live encoder before failover moves to the next"`
	Restart          Restart       `yaml:"restart" doc:"waits between tries of a failing encoder"`
	Schedule         []Window      `yaml:"schedule" doc:"windows in which the stream is kept up, or never up"`
	TimeZone         string        `yaml:"time_zone" shown:"yes" doc:"IANA name for the schedule, such as Europe/Berlin; empty = the host's"`
	MaxStartsPerHour int           `yaml:"max_starts_per_hour" min:"0" doc:"wake guard: starts by viewers in any hour; 0 = no cap"`
	Rank             int           `yaml:"rank" min:"1" doc:"when limits keep streams off: 1 goes first, and ends what runs for those of a higher number"`
	MaxInstances     int           `yaml:"max_instances" min:"0" doc:"of a pattern: names in use at once, because anyone can ask for one; 0 = no cap"`
}

// Restart is the backoff of a failing encoder.
type Restart struct {
	Initial     time.Duration `yaml:"initial" min:"1ms" doc:"wait after the first failure"`
	Max         time.Duration `yaml:"max" doc:"longest wait"`
	Factor      float64       `yaml:"factor" min:"1" doc:"each wait is this many times the one before"`
	ResetAfter  time.Duration `yaml:"reset_after" doc:"healthy for this long: the next failure counts as the first"`
	GiveUpAfter int           `yaml:"give_up_after" min:"0" doc:"failures in a row before giving up; 0 = never"`
}

// Window is one line of a schedule. The loader has parsed Cron.
type Window struct {
	Cron string        `yaml:"cron" shown:"yes" doc:"when it begins: minute hour day month weekday, as in crontab"`
	For  time.Duration `yaml:"for" min:"1s" doc:"how long it lasts"`
	Do   string        `yaml:"do" enum:"on,off" doc:"on = keep up, off = never up"`
}

// Prefill implements [Prefiller].
func (w *Window) Prefill() { w.Do = "on" }

// builtIn is what applies when neither the stream nor `defaults:` says otherwise.
func builtIn() Timing {
	return Timing{
		AttemptHold:  45 * time.Second,
		StartTimeout: 30 * time.Second,
		JoinTimeout:  90 * time.Second,
		IdleTimeout:  60 * time.Second,
		StopTimeout:  10 * time.Second,
		Confirm:      "feed",
		Unmanaged:    "observe",

		ViewersElsewhere: "ignore",

		Mode:          "all",
		FailoverAfter: 3,
		Rank:          100,
		MaxInstances:  100,
		Restart: Restart{
			Initial:    time.Second,
			Max:        60 * time.Second,
			Factor:     2,
			ResetAfter: 60 * time.Second,
		},
	}
}

func (t Timing) clone() Timing {
	t.Schedule = slices.Clone(t.Schedule)
	return t
}

// locations holds the time zones in use by name: loading one reads a file, and ten thousand streams
// may name the same.
var locations sync.Map

// location is time.LoadLocation, but reads a zone once.
func location(name string) (*time.Location, error) {
	if loc, ok := locations.Load(name); ok {
		return loc.(*time.Location), nil
	}
	loc, err := time.LoadLocation(name)
	if err == nil {
		locations.Store(name, loc)
	}
	return loc, err
}

// Location is the time zone of the schedule. The loader has checked that it exists.
func (t Timing) Location() *time.Location {
	if t.TimeZone == "" {
		return time.Local
	}
	loc, err := location(t.TimeZone)
	if err != nil {
		return time.Local
	}
	return loc
}
