package obs

import (
	"strings"
	"testing"
	"time"
)

// TestOutput follows OBS's output. A word is an event, a poll or a request; +n lets n seconds pass.
// After the arrow stands what the output is then.
func TestOutput(t *testing.T) {
	for story, want := range map[string]string{
		"ask STARTING":                                  "starting",
		"ask STARTING STARTED":                          "publishing",
		"ask STARTING +1 active":                        "publishing", // the event was missed
		"ask STARTING +32 STOPPED":                      "failed: " + startFailed,
		"ask +39 idle":                                  "starting",
		"ask +41 idle":                                  "failed: " + startSilent,
		"ask later +41 idle":                            "stopped",
		"ask STARTING later STOPPED":                    "stopped",
		"ask STARTED idle":                              "publishing", // the answer is older than the event
		"ask STARTED +2 idle":                           "failed: " + endedItself,
		"ask STARTED +5 sent +9 sent":                   "publishing",
		"ask STARTED +5 sent +10 active":                "stalled: " + sendsNothing,
		"ask STARTED RECONNECTING +9":                   "publishing: " + lostServer,
		"ask STARTED RECONNECTING +6 RECONNECTING +6":   "stalled: " + lostServer, // OBS repeats it with each try
		"ask STARTED RECONNECTING +11 RECONNECTED":      "publishing",
		"ask STARTED RECONNECTING +11 STOPPED":          "failed: " + endedItself,
		"ask STARTED STOPPED":                           "failed: " + endedItself,
		"ask STARTED STOPPING":                          "stopping by hand",
		"ask STARTED STOPPING STOPPED":                  "stopped by hand",
		"ask STARTED stop STOPPING":                     "stopping",
		"ask STARTED stop STOPPING STOPPED":             "stopped",
		"ask STARTED stop STOPPING +2 idle":             "stopped",
		"STARTING":                                      "starting by hand",
		"STARTING STARTED":                              "publishing by hand",
		"STARTED":                                       "publishing by hand",
		"+2 active":                                     "publishing by hand",
		"STARTING STOPPED":                              "failed by hand: " + startFailed,
		"STARTING STARTED STOPPED ask STARTED":          "publishing",
		"ask STARTED STOPPED ask STARTED stop STOPPED":  "stopped",
		"ask STARTED STOPPING STOPPED STARTING STARTED": "publishing by hand",
		"ask STARTED PAUSED":                            "publishing",
	} {
		o := output{stallAfter: 10 * time.Second, phase: phaseStopped}
		now := time.Now()
		bytes := int64(0)
		for _, word := range strings.Fields(story) {
			poll := reading{asked: now.Add(-time.Millisecond)}
			switch word {
			case "ask":
				o.startAsked(started{Stream: "a/b", Run: "r"}, now)
			case "stop":
				o.stopAsked(now)
			case "later":
				o.stopLater()
			case "idle":
				o.polled(poll, now)
			case "sent":
				bytes += 1000
				fallthrough
			case "active":
				poll.stream.Active, poll.stream.Bytes = true, bytes
				o.polled(poll, now)
			default:
				if d, is := strings.CutPrefix(word, "+"); is {
					wait, err := time.ParseDuration(d + "s")
					if err != nil {
						t.Fatal(err)
					}
					now = now.Add(wait)
				} else {
					o.event("OBS_WEBSOCKET_OUTPUT_"+word, now)
				}
			}
		}
		state, _, why := o.state(now)
		got := string(state)
		if o.byHand {
			got += " by hand"
		}
		if why != "" {
			got += ": " + why
		}
		if got != want {
			t.Errorf("%s → %s; want %s", story, got, want)
		}
	}
}

func TestCertainty(t *testing.T) {
	now := time.Now()
	o := output{quiet: 2 * time.Second, phase: phaseUnseen}
	o.reconnected(reading{asked: now}, now)
	if o.certain(now) || o.certain(now.Add(time.Second)) || !o.certain(now.Add(2*time.Second)) {
		t.Error("after connecting, an inactive output counts as stopped once it was quiet for 2 s, and not before")
	}
	o.event("OBS_WEBSOCKET_OUTPUT_STOPPED", now)
	if now = now.Add(time.Minute); o.certain(now) {
		t.Error("after STOPPED, the output counts as stopped before it was seen inactive")
	}
	o.polled(reading{asked: now}, now)
	if !o.certain(now) {
		t.Error("seen inactive after STOPPED, the output does not count as stopped")
	}
}
