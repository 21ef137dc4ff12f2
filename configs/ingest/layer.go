package ingest

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// LayerSources are the sourceIds of one picture in n qualities, the best first; of source itself
// when n is 0. Backups must have the same ones (source: the platform's documentation, "Redundant
// Ingest"), so they follow from the place alone.
func LayerSources(source string, n int) []string {
	if n == 0 {
		return []string{source}
	}
	sources := make([]string, n)
	for i := range sources {
		sources[i] = strconv.Itoa(i + 1)
		if source != "" {
			sources[i] = source + "-" + sources[i]
		}
	}
	return sources
}

// Layers makes a publishing URL into those of one picture in n qualities, the best first. Their
// simulcastId joins them for viewers: the one that the URL has, else one without a value for the
// main source, and the source for others. Sound and recording are the first one's alone; a silent
// encoder has no sound there, either. Source: the platform's documentation, "Simulcast",
// "Multi-Source Broadcasting" and "Publishing Parameters".
func Layers(publish string, n int, silent bool) ([]string, error) {
	a, err := Parse(publish)
	if err != nil {
		return nil, err
	}
	if !a.RTMP() && !a.WHIP() && a.Scheme != "srt" {
		return nil, errors.New("several qualities need a publishing URL of the platform: rtmps, rtmp, srt or https (WHIP)")
	}
	urls := make([]string, n)
	for i, source := range LayerSources(a.Source, n) {
		more := "sourceId=" + escape(source)
		switch {
		case a.Multi:
		case a.Source == "":
			more += "&simulcastId"
		default:
			more += "&simulcastId=" + escape(a.Source)
		}
		switch {
		case i > 0:
			more += "&videoOnly&record=false"
		case silent:
			more += "&videoOnly"
		}
		urls[i] = withParameters(publish, a, more)
	}
	return urls, nil
}

// withParameters returns a publishing URL with more parameters, in place of those of the same name.
func withParameters(publish string, a Address, more string) string {
	publish, _, _ = strings.Cut(publish, "#")
	place, query, _ := strings.Cut(publish, "?")
	if a.Scheme != "srt" {
		return place + "?" + replaced(query, more)
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		id, is := strings.CutPrefix(pair, "streamid=")
		if !is {
			continue
		}
		name, parameters := id, ""
		if at := questionMark.FindStringIndex(id); at != nil {
			name, parameters = id[:at[0]], decoded(id[at[1]:])
		}
		pairs[i] = "streamid=" + name + escape("?"+replaced(parameters, more))
	}
	return place + "?" + strings.Join(pairs, "&")
}

// questionMark is where the parameters of an SRT stream id begin, as it is written.
var questionMark = regexp.MustCompile(`(?i)\?|%3f`)

func replaced(query, more string) string {
	named := func(pair string) string { key, _, _ := strings.Cut(pair, "="); return key }
	pairs := strings.Split(more, "&")
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return pair == "" || slices.ContainsFunc(pairs, func(p string) bool { return named(p) == named(pair) })
	})
	return strings.Join(append(kept, pairs...), "&")
}
