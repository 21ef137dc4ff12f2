package simulator

import (
	"errors"
	"net/url"
	"strconv"
)

// contribution is what a publisher asks for in the query of its URL, beside stream and token.
// Parameters that do not matter here (videoOnly, extraLatency and so on) are taken and ignored.
//
// Source: the vendor's documentation, "Publishing Parameters". Booleans may stand without a value.
type contribution struct {
	source    string
	simulcast *string // nil: no layer of a multi-bitrate contribution; "": the main source's
	priority  *int    // nil: the token's, if that has one
	noRecord  bool    // overrides the token
}

func parseContribution(params url.Values) (contribution, error) {
	c := contribution{source: params.Get("sourceId")}
	if params.Has("simulcastId") {
		id := params.Get("simulcastId")
		c.simulcast = &id
	}
	if text := params.Get("priority"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return c, errors.New("priority is not a whole number")
		}
		priority := int(n)
		c.priority = &priority
	}
	c.noRecord = asked(params, "noRecord") || params.Has("record") && !asked(params, "record")
	return c, nil
}

// asked reports whether a boolean parameter is there and not false.
func asked(params url.Values, name string) bool {
	return params.Has(name) && params.Get(name) != "false"
}

// above reports whether a feed of priority a is shown rather than an older one of priority b. The
// higher one is shown, and of equal ones the newest; none is below every number.
//
// Sources, all in the vendor's documentation: "viewers receive the available stream that has the
// highest priority. Not setting any priority is equivalent setting the lowest priority" (Redundant
// Ingest); "not setting any priorities or setting the same priorities results in receiving the most
// recently published feed" (Multi-Source Broadcasting, best practices).
func above(a, b *int) bool {
	if a == nil || b == nil {
		return b == nil
	}
	return *a >= *b
}

// sameSlot reports whether two feeds of a stream are for the same place, so that the newer one
// overwrites the older one: same source, and the same priority or none.
//
// Sources: "when identical sourceId settings are given with the same id value, the broadcast will
// only include the most recently published stream" and "if you do not provide a source id, a second
// feed will overwrite the previous stream" (Multi-Source Broadcasting); with another priority both
// stay, as backups (Redundant Ingest). What becomes of the older one's connection is not
// documented: see [Behaviour].OverwrittenStays.
func sameSlot(a, b *Feed) bool {
	if a.SourceID != b.SourceID {
		return false
	}
	if a.Priority == nil || b.Priority == nil {
		return a.Priority == b.Priority
	}
	return *a.Priority == *b.Priority
}

// onAir returns the feeds that viewers get, one of each source, the main source's first: that is
// the one without a sourceId, else the source that was there first. Called with Simulator.mu held.
func (st *stream) onAir() []*feed {
	var shown []*feed
	for _, f := range st.feeds { // in the order of their publishing
		at := -1
		for i, other := range shown {
			if other.seen.SourceID == f.seen.SourceID {
				at = i
			}
		}
		switch {
		case at < 0 && f.seen.SourceID == "":
			shown = append([]*feed{f}, shown...)
		case at < 0:
			shown = append(shown, f)
		case above(f.seen.Priority, shown[at].seen.Priority):
			shown[at] = f
		}
	}
	return shown
}
