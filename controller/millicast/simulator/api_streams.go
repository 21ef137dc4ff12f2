package simulator

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

const (
	summaryPage    = 10
	maxSummaryPage = 100
)

var errNoStream = errors.New("stream not found")

// summary is a stream as the monitoring API shows it; ok is false when it shows nothing. Called
// with mu held.
func (s *Simulator) summary(st *stream) (object map[string]any, ok bool) {
	live, viewers := st.live(), st.count(Watching)
	gone := time.Since(st.ended)
	if !live && (st.ended.IsZero() || gone > s.scaled(summaryMemory)) {
		return nil, false
	}
	var ended any
	if !live {
		if stale := s.apiFaults.get().StaleFor; gone < s.scaled(stale) {
			live, viewers = true, st.count(Inactive)
		} else {
			ended = jsonTime(st.ended.Add(s.behaviour.Skew))
		}
	}
	return map[string]any{
		"streamId": controller.JoinID(s.set.Account, st.name), "streamName": st.name,
		"live": live, "viewerCount": viewers, "startTime": jsonTime(st.started.Add(s.behaviour.Skew)), "endTime": ended,
		"clusterId": "sim-1", "clusters": []string{"sim-1"},
	}, true
}

func (s *Simulator) listSummary(r *http.Request) (any, error) {
	page, err1 := intParam(r, "page", 1, 1, math.MaxInt32)
	size, err2 := intParam(r, "itemsOnPage", summaryPage, 1, maxSummaryPage)
	active, narrowed, err3 := boolParam(r, "isActive")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	list := s.summaries(func(live bool) bool { return !narrowed || live == active })
	var crowd crowd
	if !narrowed || active {
		crowd = s.nextCrowd()
	}
	total := crowd.size + len(list)
	items := []map[string]any{}
	for i := min((page-1)*size, total); i < min(page*size, total); i++ {
		if i < crowd.size {
			items = append(items, s.foreignStream(crowd.first+i))
		} else {
			items = append(items, list[i-crowd.size])
		}
	}
	return map[string]any{
		"data": items,
		"pagination": map[string]int{
			"totalItems": total, "totalPages": (total + size - 1) / size, "itemsOnPage": len(items),
		},
	}, nil
}

// crowd is a number of foreign streams, counted from the first.
type crowd struct {
	first, size int
	fewer       bool // some have just ended
}

// nextCrowd is the crowd as the next page shows it.
func (s *Simulator) nextCrowd() crowd {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.crowd
	if churn := min(s.set.Churn, s.set.Crowd); c.fewer {
		c.size += churn
	} else {
		c.first, c.size = c.first+churn, s.set.Crowd-churn
	}
	c.fewer = !c.fewer
	return *c
}

func (s *Simulator) foreignStream(number int) map[string]any {
	name := fmt.Sprintf("crowd-%06d", number)
	return map[string]any{
		"streamId": controller.JoinID(s.set.Account, name), "streamName": name,
		"live": true, "viewerCount": 1, "endTime": nil,
	}
}

// summaries returns what the API shows of all streams, by name.
func (s *Simulator) summaries(wanted func(live bool) bool) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []map[string]any
	for _, st := range s.streams {
		if object, ok := s.summary(st); ok && wanted(object["live"].(bool)) {
			list = append(list, object)
		}
	}
	slices.SortFunc(list, func(a, b map[string]any) int {
		return strings.Compare(a["streamName"].(string), b["streamName"].(string))
	})
	return list
}

func (s *Simulator) getSummary(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[r.PathValue("stream")]; st != nil {
		if object, ok := s.summary(st); ok {
			return object, nil
		}
	}
	return nil, errNoStream
}

// stopStream only disconnects the publishers: one that connects again is let in.
func (s *Simulator) stopStream(r *http.Request) (any, error) {
	var asked struct{ StreamID string }
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	account, name, ok := controller.StreamID(asked.StreamID).Split()
	if !ok || account != s.set.Account || !s.Truth(name).Live {
		return nil, errNoStream
	}
	s.Drop(name, false)
	return map[string]string{"stoppingLevel": "Stream"}, nil
}

func (s *Simulator) demandThumbnail(r *http.Request) (any, error) {
	var asked struct{ StreamName string }
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	return true, s.thumbnailNow(asked.StreamName)
}
