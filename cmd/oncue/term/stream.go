package term

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// Stream tells everything of one stream in plain words.
func (s Screen) Stream(v controller.StreamView, steps []Step, now time.Time) {
	since := ""
	if !v.Since.IsZero() {
		since = fmt.Sprintf(" since %s (%s)", Clock(v.Since.Time, now), Span(now.Sub(v.Since.Time)))
	}
	s.Printf("%s: %s%s\n\n", s.Paint(Bold, Harmless(string(v.ID))), s.Paint(phaseStyle(v.Phase), string(v.Phase)), since)
	s.fact("why", v.Reason)
	if v.Trouble != nil {
		s.fact("trouble", troubleStory(v.Trouble, now))
	}
	s.fact("next", nextStory(v, now))
	s.fact("mode", HeldWords(v, now))
	for i, l := range v.Demand {
		s.fact(first("wanted by", i), fmt.Sprintf("%s, for %s more", l.By, Span(l.Until.Sub(now))))
	}
	if !v.Managed {
		s.fact("managed", "no: somebody else started what runs, and oncue leaves it alone")
	}
	if v.Unconfirmed {
		s.fact("confirmed", "no: only the encoder says that it is live; the platform has not confirmed it")
	}
	if v.WaitsFor != nil {
		s.fact("waits for", *v.WaitsFor)
	}
	if v.Draining {
		s.fact("draining", "it is no longer in the configuration, and ends when it is off")
	}
	s.fact("viewers", viewersStory(v, now))
	for i, line := range feedLines(v, now) {
		s.fact(first("feeds", i), line)
	}
	for i, e := range v.Encoders {
		words := encoderLine(e, now)
		if e.Cover {
			words += ", the cover"
		}
		if e.OnAir && len(v.Encoders) > 1 {
			words += ", on the air"
		}
		s.fact(first("encoders", i), words)
		if e.Error != nil {
			s.fact("", "error: "+*e.Error)
		}
		if e.Warning != "" {
			s.fact("", "warning: "+e.Warning)
		}
		if e.Standby != nil {
			s.fact("", "standby: "+StandbyWords(e.Standby))
		}
	}
	if v.Waits != nil {
		s.fact("waits", waitsStory(v.Waits))
	}
	s.fact("savings", savingsStory(v, now))
	for i := range steps {
		step := steps[len(steps)-1-i]
		begin := fmt.Sprintf("%s  %-9s  ", Clock(step.At.Time, now), step.To)
		for j, line := range wrap(Harmless(step.why(now)), max(factLeast, s.Width()-factIndent-Width(begin))) {
			if j > 0 {
				begin = strings.Repeat(" ", Width(begin))
			}
			s.fact(first("history", i+j), begin+line)
		}
	}
}

// troubleStory says what fails, and since when.
func troubleStory(t *controller.Trouble, now time.Time) string {
	if t.Count == 1 {
		return fmt.Sprintf("%s failed at %s and has not been live since: %s", t.Encoder, Clock(t.Last.Time, now),
			t.Text)
	}
	return fmt.Sprintf("%s has failed %d times since %s, last at %s, and has not been live between: %s",
		t.Encoder, t.Count, Clock(t.Since.Time, now), Clock(t.Last.Time, now), t.Text)
}

// first labels the first of several lines.
func first(label string, i int) string {
	if i == 0 {
		return label
	}
	return ""
}

// A fact stands beside its label, cells.
const (
	factIndent = 12
	factLeast  = 20
)

func (s Screen) fact(label, text string) {
	lines := wrapKeeping(Harmless(text), max(factLeast, s.Width()-factIndent))
	for i, line := range lines {
		s.Printf("%s%s\n", s.Paint(Faint, fmt.Sprintf("%-*s", factIndent, first(label, i))), line)
	}
}

// wrapKeeping leaves a line that fits as it is, runs of spaces included.
func wrapKeeping(text string, n int) []string {
	if Width(text) <= n {
		return []string{text}
	}
	return wrap(text, n)
}

// nextStory says what the controller does by itself next, or what it waits for.
func nextStory(v controller.StreamView, now time.Time) string {
	if v.Deadline != nil {
		does := cmp.Or(nextStep(v), "the next step")
		return fmt.Sprintf("%s at %s (in %s)", does, Clock(v.Deadline.Time, now), Span(v.Deadline.Sub(now)))
	}
	back := fmt.Sprintf("; oncue auto %s hands it back", v.Name)
	switch {
	case v.Mode == controller.ModeOn:
		return "stays on until somebody ends the hold" + back
	case v.Mode == controller.ModeOff:
		return "stays off until somebody ends the hold" + back
	case !v.Managed && v.Phase == controller.PhaseLive:
		return "nothing: whoever started it must stop it"
	case v.Phase == controller.PhaseLive && v.Wanted:
		return "nothing while somebody watches; it stops idle_timeout after the platform says that the last " +
			"viewer has left"
	case v.Phase == controller.PhaseIdle:
		return "the next viewer starts it"
	case v.Phase == controller.PhaseFailed:
		return "nothing by itself: repair the encoder, then oncue off and oncue auto " + v.Name
	}
	return "depends on what happens; no time is set"
}

func viewersStory(v controller.StreamView, now time.Time) string {
	words := "not known: the platform has not been asked"
	if v.Viewers != nil {
		words = fmt.Sprint(*v.Viewers)
	}
	if v.LastAttempt != nil {
		words += fmt.Sprintf("; the last attempt was at %s (%s ago)", Clock(v.LastAttempt.Time, now),
			Span(now.Sub(v.LastAttempt.Time)))
	}
	return words
}

func feedLines(v controller.StreamView, now time.Time) []string {
	if len(v.Feeds) == 0 {
		return []string{"none is open"}
	}
	lines := make([]string, len(v.Feeds))
	for i, f := range v.Feeds {
		lines[i] = f.ID
		if !f.Started.IsZero() {
			lines[i] += " since " + Clock(f.Started.Time(), now)
		}
		if f.SourceID != "" {
			lines[i] += ", source " + f.SourceID
		}
		if f.Priority != nil {
			lines[i] += fmt.Sprintf(", priority %d", *f.Priority)
		}
		if f.Encoder != "" {
			lines[i] += ", of " + f.Encoder
		}
	}
	return lines
}

func encoderLine(e controller.EncoderView, now time.Time) string {
	words := fmt.Sprintf("%s (%s) %s", e.Name, e.Driver, e.State)
	if e.Since != nil {
		words += " since " + Clock(e.Since.Time, now)
	}
	if e.PID != nil {
		words += fmt.Sprintf(", pid %d", *e.PID)
	}
	if e.Restarts > 0 {
		words += ", " + Plural(e.Restarts, "restart")
	}
	if h := HealthWords(e.Health); h != "" {
		words += ", " + h
	}
	return words
}

// StandbyWords says what is kept ready for the next start, whether it is, and what that costs.
func StandbyWords(b *encoders.Standby) string {
	words := b.Kind
	switch {
	case !b.Ready && b.Error != "":
		words += ", not ready: " + b.Error
	case !b.Ready:
		words += ", not ready"
	case b.BeginsMS != nil:
		words += fmt.Sprintf(", ready, would begin with a picture %.1f s old", float64(*b.BeginsMS)/1000)
	default:
		words += ", ready"
	}
	var costs []string
	if b.BitrateBPS != nil {
		costs = append(costs, fmt.Sprintf("%.1f Mbit/s of input", float64(*b.BitrateBPS)/1e6))
	}
	if b.CPU != nil && b.Memory != nil {
		costs = append(costs, fmt.Sprintf("%.1f %% of a core, %d MB", *b.CPU, *b.Memory/1_000_000))
	}
	if len(costs) > 0 {
		words += "; costs " + strings.Join(costs, ", ")
	}
	return words
}

func HealthWords(h *encoders.Health) string {
	if h == nil {
		return ""
	}
	var parts []string
	if h.BitrateBPS != nil {
		parts = append(parts, fmt.Sprintf("%.1f Mbit/s", *h.BitrateBPS/1e6))
	}
	if h.FPS != nil {
		parts = append(parts, fmt.Sprintf("%.0f fps", *h.FPS))
	}
	if h.Dropped != nil {
		parts = append(parts, fmt.Sprintf("%d dropped", *h.Dropped))
	}
	if h.Congestion != nil && *h.Congestion > 0 {
		parts = append(parts, fmt.Sprintf("congestion %.0f %%", *h.Congestion*100))
	}
	if h.Speed != nil && *h.Speed < 0.97 {
		parts = append(parts, fmt.Sprintf("%.2f of real time", *h.Speed))
	}
	return strings.Join(parts, ", ")
}

// waitsStory says how long those waited who asked for the stream.
func waitsStory(w *controller.Waits) string {
	words := func(w controller.Wait) string {
		text := func(s *float64) string {
			if s == nil {
				return "-"
			}
			return fmt.Sprintf("%.1f s", *s)
		}
		return "live after " + text(w.LiveS) + ", first viewer in after " + text(w.ViewerS)
	}
	return "last " + words(w.Last) + "; typically " + words(w.Typical) + ", of " + Plural(w.Of, "wait")
}

func savingsStory(v controller.StreamView, now time.Time) string {
	words := fmt.Sprintf("since %s: ran %s, watched %s, %s avoided; %s", Clock(v.Savings.Since.Time, now),
		Span(seconds(v.Savings.RunS)),
		Span(seconds(v.Savings.WatchedS)), Span(seconds(v.Savings.AvoidedS)), Plural(v.Starts, "start"))
	if v.Savings.Wasted > 0 {
		words += fmt.Sprintf("; nobody joined after %d of %s", v.Savings.Wasted,
			Plural(max(v.Savings.Wakes, v.Savings.Wasted), "wake"))
	}
	return words
}
