// Package words reads what people write, in files and on the command line, and guesses what they
// meant.
package words

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Day is 24 hours.
const Day = 24 * time.Hour

var dayPart = regexp.MustCompile(`^([0-9]{1,6})d(.*)$`)

// ParseDuration reads Go's notation, with days before it: 30d, 1d12h. The error is plain English
// and does not repeat s.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	rest, negative := strings.CutPrefix(s, "-")
	var days time.Duration
	if m := dayPart.FindStringSubmatch(rest); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 100_000 {
			return 0, errors.New("is too long")
		}
		days, rest = time.Duration(n)*Day, m[2]
	}
	var d time.Duration
	if rest != "" || days == 0 && !strings.HasSuffix(s, "d") {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || strings.HasPrefix(rest, "-") ||
			strings.HasPrefix(rest, "+") {
			if _, err := strconv.ParseFloat(rest, 64); err == nil {
				return 0, fmt.Errorf("has no unit; write %ss for seconds, %sm for minutes", rest, rest)
			}
			return 0, errors.New("is not a duration; allowed: 500ms, 30s, 2m, 1h30m, 7d")
		}
	}
	if d > math.MaxInt64-days {
		return 0, errors.New("is too long")
	}
	if d += days; negative {
		d = -d
	}
	return d, nil
}

// FormatDuration writes the shortest form that ParseDuration reads back: 30d, 1h30m, 45s.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	days := ""
	if n := d / Day; n > 0 {
		days, d = strconv.FormatInt(int64(n), 10)+"d", d%Day
		if d == 0 {
			return days
		}
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return days + s
}
