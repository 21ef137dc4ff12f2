package configs

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/oncue/oncue/configs/words"
)

// checkTiming compares the keys of Timing at path. It reports only keys that path sets itself.
func (d *decoder) checkTiming(path string, t Timing) {
	set := func(keys ...string) (string, bool) {
		for _, k := range keys {
			if d.isSet(path + "." + k) {
				return path + "." + k, true
			}
		}
		return "", false
	}
	if p, ok := set("min_uptime", "max_uptime"); ok && t.MaxUptime > 0 && t.MinUptime > t.MaxUptime {
		d.wrong(p, "min_uptime (%s) is longer than max_uptime (%s)", words.FormatDuration(t.MinUptime),
			words.FormatDuration(t.MaxUptime))
	}
	if p, ok := set("viewers_elsewhere"); ok && t.ViewersElsewhere == "keep" && t.MaxUptime == 0 {
		d.warn(p, "without max_uptime, what keep holds up stays on until a person stops it; set max_uptime, such as 12h")
	}
	if p, ok := set("restart.initial", "restart.max"); ok && t.Restart.Initial > t.Restart.Max {
		d.wrong(p, "restart.initial (%s) is longer than restart.max (%s)", words.FormatDuration(t.Restart.Initial),
			words.FormatDuration(t.Restart.Max))
	}
	if p, ok := set("time_zone"); ok && t.TimeZone != "" {
		if _, err := location(t.TimeZone); err != nil {
			d.wrong(p, "%q is not a time zone of this host; allowed: IANA names such as Europe/Berlin, UTC, or empty "+
				"for the host's", t.TimeZone)
		}
	}
	if p, ok := set("schedule"); ok {
		for i, w := range t.Schedule {
			d.checkWindow(fmt.Sprintf("%s[%d]", p, i), w)
		}
	}
}

const cronForm = `five fields, minute hour day month weekday, such as "0 18 * * FRI"`

func (d *decoder) checkWindow(path string, w Window) {
	cronKey := path + ".cron"
	switch schedule, err := parseCron(w.Cron); {
	case w.Cron == "":
		d.missing(cronKey, "is missing; write when the window begins: %s", cronForm)
	case err != nil:
		d.wrong(cronKey, "%s; allowed: %s", err, cronForm)
	case schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero():
		d.wrong(cronKey, "there is no such day; check day and month")
	}
	if w.For == 0 {
		d.missing(path+".for", "is missing; write how long the window lasts, such as 4h")
	}
}

// parseCron refuses the time zone prefixes that the library accepts: time_zone is the place for
// them.
func parseCron(spec string) (cron.Schedule, error) {
	if strings.Contains(spec, "TZ=") {
		return nil, errors.New("the time zone goes into time_zone")
	}
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf("is not a cron line: %w", err)
	}
	return schedule, nil
}
