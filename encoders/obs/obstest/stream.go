package obstest

import (
	"encoding/json"
	"maps"
	"time"
)

// stream is OBS's stream output and what else it would lose with its process.
type stream struct {
	active, starting, stopping, reconnecting bool
	begun                                    time.Time // of the output
	opened                                   time.Time // of OBS
	ended                                    time.Time // of the last output
	sent                                     int64     // bytes of the last output
	generation                               int       // makes timers of an earlier life harmless
	service                                  map[string]any
}

func (st *stream) reset() {
	*st = stream{opened: time.Now(), generation: st.generation + 1, service: st.service}
}

// Active tells whether OBS streams.
func (s *Server) Active() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.active
}

// Service returns OBS's stream settings.
func (s *Server) Service() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.stream.service)
}

// PressStart presses OBS's button.
func (s *Server) PressStart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start()
}

// PressStop presses OBS's button.
func (s *Server) PressStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// Die lets the output end by itself, as after the last attempt to reconnect.
func (s *Server) Die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off()
}

// LoseIngest makes the streaming server unreachable, until ReturnIngest.
func (s *Server) LoseIngest() { s.ingest(true, "RECONNECTING") }

// ReturnIngest lets OBS reconnect.
func (s *Server) ReturnIngest() { s.ingest(false, "RECONNECTED") }

func (s *Server) ingest(lost bool, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream.reconnecting = lost
	s.state(state)
}

func (s *Server) state(state string) {
	s.event("StreamStateChanged",
		map[string]any{"outputActive": s.stream.active, "outputState": "OBS_WEBSOCKET_OUTPUT_" + state})
}

// later calls what after d, unless OBS has ended or the output has moved on meanwhile.
func (s *Server) later(d time.Duration, what func()) {
	s.stream.generation++
	generation := s.stream.generation
	time.AfterFunc(d, func() {
		s.whileFrozen()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.stream.generation == generation {
			what()
		}
	})
}

func (s *Server) start() {
	if s.stream.starting {
		s.t.Error("a second StartStream came while OBS was starting: a real OBS crashes")
	}
	if s.closing() {
		return
	}
	s.stream.starting, s.stream.sent = true, 0
	s.state("STARTING")
	s.later(s.settings.StartTakes, func() {
		if s.settings.StartFails {
			s.off()
			return
		}
		s.stream.starting, s.stream.active, s.stream.begun = false, true, time.Now()
		s.state("STARTED")
	})
}

func (s *Server) stop() {
	s.stream.stopping = true
	s.state("STOPPING")
	s.later(s.settings.StopTakes, s.off)
}

func (s *Server) off() {
	sent := s.stream.bytes(s.settings.Stuck)
	s.stream.active, s.stream.starting, s.stream.stopping, s.stream.reconnecting = false, false, false, false
	s.stream.sent, s.stream.ended = sent, time.Now()
	s.state("STOPPED")
}

// closing reports whether the output was stopped a moment ago: it still says that it is active, and
// a start is accepted and dropped.
func (s *Server) closing() bool { return time.Since(s.stream.ended) < s.settings.Closes }

// bytes is what the output has sent; it stays after the end of the output.
func (st *stream) bytes(stuck bool) int64 {
	switch {
	case st.reconnecting, stuck:
		return 0
	case st.active:
		return 1 + time.Since(st.begun).Milliseconds()*100
	}
	return st.sent
}

type request struct {
	Op int `json:"op"`
	D  struct {
		Type string          `json:"requestType"`
		ID   string          `json:"requestId"`
		Data json.RawMessage `json:"requestData"`
	} `json:"d"`
}

// request answers one request.
func (s *Server) request(c *conn, data []byte) {
	var r request
	if err := json.Unmarshal(data, &r); err != nil || r.Op != 6 {
		s.t.Errorf("the client sent %q", data)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.D.Type]++
	if s.settings.Ignore[r.D.Type] {
		return
	}
	code, answer := 100, any(map[string]any{})
	if codes := s.settings.Refuse[r.D.Type]; len(codes) > 0 {
		code, s.settings.Refuse[r.D.Type] = codes[0], codes[1:]
	} else {
		code, answer = s.handle(r)
	}
	status := map[string]any{"code": code, "result": code == 100}
	c.send(encode(7, map[string]any{"requestType": r.D.Type, "requestId": r.D.ID, "requestStatus": status,
		"responseData": answer}))
}

func (s *Server) handle(r request) (code int, answer any) {
	switch r.D.Type {
	case "GetVersion":
		return 100, map[string]any{"obsVersion": s.settings.OBS, "obsWebSocketVersion": "5.1.0", "rpcVersion": 1}
	case "GetStats":
		return 100, map[string]any{"activeFps": 30.0,
			"renderTotalFrames": time.Since(s.stream.opened).Milliseconds() * 30 / 1000}
	case "GetStreamStatus":
		return 100, s.status()
	case "GetOutputList":
		return 100, map[string]any{"outputs": []any{
			map[string]any{"outputName": "simple_stream", "outputActive": s.stream.active},
			map[string]any{"outputName": "simple_file_output", "outputActive": s.settings.Records},
		}}
	case "StartStream":
		if s.stream.active {
			return 500, nil
		}
		s.start()
		return 100, nil
	case "StopStream":
		if !s.stream.active {
			return 501, nil
		}
		if !s.stream.stopping {
			s.stop()
		}
		return 100, nil
	case "GetStreamServiceSettings":
		return 100, s.stream.service
	case "SetStreamServiceSettings":
		if s.stream.active {
			return 500, nil
		}
		var service struct {
			Type     string         `json:"streamServiceType"`
			Settings map[string]any `json:"streamServiceSettings"`
		}
		if code := parsed(r.D.Data, &service); code != 100 {
			return code, nil
		}
		if old := s.stream.service; service.Type == old["streamServiceType"] { // the rest stays, as in OBS
			merged := maps.Clone(old["streamServiceSettings"].(map[string]any))
			maps.Copy(merged, service.Settings)
			service.Settings = merged
		}
		s.stream.service = map[string]any{"streamServiceType": service.Type, "streamServiceSettings": service.Settings}
		return 100, nil
	}
	return s.lists(r)
}

func parsed(data []byte, into any) int {
	if json.Unmarshal(data, into) != nil {
		return 400
	}
	return 100
}

func (s *Server) status() map[string]any {
	st := &s.stream
	duration := int64(0)
	if st.active {
		duration = time.Since(st.begun).Milliseconds()
	}
	n := st.bytes(s.settings.Stuck)
	return map[string]any{"outputActive": st.active || s.closing(), "outputReconnecting": st.reconnecting,
		"outputDuration": duration,
		"outputBytes":    n, "outputTotalFrames": n / 3000, "outputSkippedFrames": 0, "outputCongestion": 0.0}
}

// lists answers requests about profiles, scene collections and scenes. There are two of each: ci
// and other.
func (s *Server) lists(r request) (code int, answer any) {
	names := []string{"ci", "other"}
	current := s.current
	switch r.D.Type {
	case "GetProfileList":
		return 100, map[string]any{"currentProfileName": current[r.D.Type], "profiles": names}
	case "GetSceneCollectionList":
		return 100, map[string]any{"currentSceneCollectionName": current[r.D.Type], "sceneCollections": names}
	case "GetSceneList":
		return 100, map[string]any{"currentProgramSceneName": current[r.D.Type],
			"scenes": []any{map[string]any{"sceneName": "ci"}, map[string]any{"sceneName": "other"}}}
	}
	var want struct{ ProfileName, SceneCollectionName, SceneName string }
	if json.Unmarshal(r.D.Data, &want) != nil {
		return 300, nil
	}
	switch r.D.Type {
	case "SetCurrentProfile":
		s.event("CurrentProfileChanging", map[string]any{})
		current["GetProfileList"] = want.ProfileName
		s.event("CurrentProfileChanged", map[string]any{})
	case "SetCurrentSceneCollection":
		s.event("CurrentSceneCollectionChanging", map[string]any{})
		current["GetSceneCollectionList"] = want.SceneCollectionName
		s.event("CurrentSceneCollectionChanged", map[string]any{})
	case "SetCurrentProgramScene":
		current["GetSceneList"] = want.SceneName
	default:
		return 204, nil
	}
	return 100, nil
}
