package words

import "testing"

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0s", "30s": "30s", "90s": "1m30s", "1h": "1h", "60m": "1h", "24h": "1d", "36h": "1d12h", "30d": "30d",
		"1d12h": "1d12h",
		"0d":    "0s", "1.5h": "1h30m", "250ms": "250ms", "-5s": "-5s", "61m1s": "1h1m1s",
		"": "error", "d": "error", "s": "error", "5": "error", "1d5": "error", "1d-5s": "error", "--5s": "error",
		"+5s": "error", "1.5d": "error",
		"999999d": "error", "100000d2562047h": "error", "9999999h": "error",
	} {
		d, err := ParseDuration(text)
		got := FormatDuration(d)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("ParseDuration(%q) = %s, want %s", text, got, want)
		}
		if back, err := ParseDuration(FormatDuration(d)); err != nil || back != d {
			t.Errorf("%s does not read back: %v, %v", FormatDuration(d), back, err)
		}
	}
}

func TestNearest(t *testing.T) {
	allowed := []string{"idle_timeout", "join_timeout", "on", "off", "ViewerAttempt"}
	for word, want := range map[string]string{
		"idleTimeout": "idle_timeout", "idel-timeout": "idle_timeout", "timeout": "", "ofF": "off",
		"viewerAttemt": "ViewerAttempt", "": "", "x": "",
	} {
		if got, ok := Nearest(word, allowed); got != want || ok != (want != "") {
			t.Errorf("Nearest(%q) = %q, %v, want %q", word, got, ok, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"lobby", "lobby", 0}, {"", "abc", 3}, {"abc", "", 3}, {"loby", "lobby", 1}, {"lobbx", "lobby", 1},
		{"lobyb", "lobby", 1}, {"kitten", "sitting", 3}, {"bühne", "buhne", 1}, {"ca", "abc", 3},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
