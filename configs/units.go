package configs

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

var dayPart = regexp.MustCompile(`^([0-9]{1,6})d(.*)$`)

// parseDuration reads Go's notation, and days before it: 30d, 1d12h. The error is fit for people and does not repeat s.
func parseDuration(s string) (time.Duration, error) {
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
		days, rest = time.Duration(n)*day, m[2]
	}
	var d time.Duration
	if rest != "" || days == 0 && !strings.HasSuffix(s, "d") {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
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

// formatDuration writes the shortest form that parseDuration reads back: 30d, 1h30m, 45s.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	days := ""
	if n := d / day; n > 0 {
		days, d = strconv.FormatInt(int64(n), 10)+"d", d%day
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

// Size is a number of bytes.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

// UnmarshalText reads 64MiB, 1GiB, 500MB, 0.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), int64(0)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || n < 0 || math.IsNaN(n) || strings.ContainsAny(number, "xXpP_+"):
		return errors.New("is not a size; allowed: 500KiB, 64MiB, 1GiB")
	case unit == 0 && n != 0:
		return fmt.Errorf("has no unit; write %sMiB or %sGiB", number, number)
	case n*float64(unit) >= math.MaxInt64:
		return errors.New("is too large")
	}
	*s = Size(n * float64(unit))
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, u := range sizeUnits {
		if n := int64(s); n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
