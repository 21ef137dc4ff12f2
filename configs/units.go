package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

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
