package machine

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
)

func TestSchedule(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const on, off = controller.ModeOn, controller.ModeOff
	line := func(cron string, hours int, do controller.Mode) ScheduleLine {
		return ScheduleLine{cron, time.Duration(hours) * time.Hour, do}
	}
	evening := func(hours int) ScheduleLine { return line("0 18 * * *", hours, on) }
	at7 := func(do controller.Mode) ScheduleLine { return line("0 19 * * *", 1, do) }
	for _, c := range []struct {
		name  string
		lines []ScheduleLine
		at    string
		do    controller.Mode
		until string
	}{
		{"before", []ScheduleLine{evening(2)}, "2026-03-01 17:59", "", "2026-03-01 18:00"},
		{"at its begin", []ScheduleLine{evening(2)}, "2026-03-01 18:00", on, "2026-03-01 20:00"},
		{"at its end", []ScheduleLine{evening(2)}, "2026-03-01 20:00", "", "2026-03-02 18:00"},
		{"off is stronger", []ScheduleLine{evening(4), at7(off)}, "2026-03-01 19:30", off, "2026-03-01 20:00"},
		{"on until off begins", []ScheduleLine{evening(4), at7(off)}, "2026-03-01 18:30", on, "2026-03-01 19:00"},
		{"one after the other", []ScheduleLine{evening(1), at7(on)}, "2026-03-01 18:30", on, "2026-03-01 20:00"},
		{"a long one", []ScheduleLine{line("0 0 1 * *", 20*24, on)}, "2026-03-15 12:00", on, "2026-03-21 00:00"},
		{"the hour left out in spring", []ScheduleLine{line("0 1 * * *", 2, on)}, "2026-03-29 03:30", on, "2026-03-29 04:00"},
		{"never", []ScheduleLine{line("0 0 30 2 *", 1, on)}, "2026-03-01 12:00", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := NewSchedule(c.lines, berlin)
			if err != nil {
				t.Fatal(err)
			}
			local := func(text string) time.Time {
				if text == "" {
					return time.Time{}
				}
				at, err := time.ParseInLocation("2006-01-02 15:04", text, berlin)
				if err != nil {
					t.Fatal(err)
				}
				return at
			}
			for range 2 { // the second time from memory
				if w := s.At(local(c.at)); w.Do != c.do || !w.Until.Equal(local(c.until)) {
					t.Errorf("%q until %v", w.Do, w.Until.In(berlin))
				}
			}
		})
	}
	_, err = NewSchedule([]ScheduleLine{{Cron: "61 * * * *"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "61 * * * *") {
		t.Error(err)
	}
}

// TestScheduleAsksLittle: a line that begins all the time, with windows that are long, is answered
// with few questions.
func TestScheduleAsksLittle(t *testing.T) {
	asked := 0
	s := &Schedule{zone: time.UTC, on: []window{{counted{&asked}, 240 * time.Hour}}}
	if w := s.At(time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)); w.Do != controller.ModeOn {
		t.Errorf("%+v", w)
	}
	if asked > 1000 {
		t.Errorf("asked %d times", asked)
	}
}

// counted begins every minute.
type counted struct{ asked *int }

func (c counted) Next(t time.Time) time.Time {
	*c.asked++
	return t.Truncate(time.Minute).Add(time.Minute)
}

// TestShiftMovesAllTimes: when the clock is set, each time of a state is moved, but those of the
// platform's clock.
func TestShiftMovesAllTimes(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var s State
	full := s
	set(reflect.ValueOf(&full).Elem(), at)
	moved := full.Clone()
	moved.Shift(time.Hour)
	var still []string
	compare(reflect.ValueOf(full), reflect.ValueOf(moved), "", "", time.Hour, &still)
	if len(still) > 0 {
		t.Errorf("left alone: %s", strings.Join(still, " "))
	}
}

// set puts the time into every field that can have one.
func set(v reflect.Value, at time.Time) {
	switch v.Kind() {
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = at
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				set(v.Field(i), at)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		set(v.Index(0), at)
	}
}

func compare(a, b reflect.Value, path, name string, by time.Duration, still *[]string) {
	path = strings.TrimPrefix(path+"."+name, ".")
	switch a.Kind() {
	case reflect.Struct:
		if t, ok := a.Interface().(time.Time); ok {
			if moved := b.Interface().(time.Time); !moved.Equal(t.Add(by)) {
				*still = append(*still, path)
			}
			return
		}
		for i := range a.NumField() {
			if f := a.Type().Field(i); f.IsExported() {
				compare(a.Field(i), b.Field(i), path, f.Name, by, still)
			}
		}
	case reflect.Slice:
		compare(a.Index(0), b.Index(0), strings.TrimSuffix(path, "."+name), name, by, still)
	}
}
