package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// A recording is made of every feed whose token records, from its first to its last frame. Its
// media hooks come after the broadcast, "shortly" (source: the vendor's documentation, "Stream
// Recordings"), which is made mediaWork here. A feed that was shorter than minRecording leaves
// none.
const (
	minRecording = 10 * time.Second
	mediaWork    = 5 * time.Second
	mediaKept    = 90 * 24 * time.Hour // real time; the expiration of the vendor's examples
)

// startRecording sends what the platform does when a recording begins. Called with mu held.
func (s *Simulator) startRecording(f *feed) {
	if f.recorded {
		s.recordFiles++
		f.recordFile = s.recordFiles
		s.sendRecording("started", f)
	}
}

// endRecording makes a file of what was recorded. Called with mu held.
func (s *Simulator) endRecording(f *feed) {
	seen := f.snapshot()
	if !f.recorded || seen.Ended.Sub(seen.Started) < s.scaled(minRecording) {
		return
	}
	data := millicast.MediaData{
		MediaAssetID: newAssetID(), TokenID: seen.TokenID, StreamName: seen.Stream,
		StreamID: string(controller.JoinID(s.set.Account, seen.Stream)), Kind: "recording",
		StartTime: seen.Started.Add(s.behaviour.Skew).UnixMilli(), Expiration: s.now().Add(mediaKept).UnixMilli(),
		Metadata: map[string]any{},
	}
	s.sendMedia("processing", data)
	s.after(mediaWork, func() {
		s.sendMedia("completed", data)
		s.sendRecording("completed", f)
	})
}

func (s *Simulator) sendMedia(event string, data millicast.MediaData) {
	m := millicast.Message{Type: millicast.TypeMedia, Event: event, Sent: s.now(), Data: data}
	s.sendMessage(aboutMedia, data.StreamName, m)
}

// sendRecording sends a hook of the older kind, which the vendor deprecated in 2024.
func (s *Simulator) sendRecording(event string, f *feed) {
	seen := f.snapshot()
	m := millicast.Message{Type: millicast.TypeRecording, Event: event, Sent: s.now(), Data: millicast.RecordingData{
		RecordFileID: f.recordFile, TokenID: seen.TokenID, StreamName: seen.Stream,
		RecordedOn: seen.Started.Add(s.behaviour.Skew).UnixMilli(),
	}}
	s.sendMessage(aboutRecordings, seen.Stream, m)
}

// newAssetID makes an id as the platform's media assets have: 32 hexadecimal digits.
func newAssetID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Announce sends a hook about what the simulator does not do by itself, to every webhook that wants
// it: a clip, an asset's deletion, a transcoder. event is one of [millicast.EventNames]; name is
// the stream's, or the transcoder's.
func (s *Simulator) Announce(event, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.announce(event, name)
}

func (s *Simulator) announce(event, name string) error {
	m, err := millicast.NewMessage(event, s.set.Account, name, newAssetID(), s.now())
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	s.sendMessage(subjects[m.Type], name, m)
	return nil
}

var subjects = map[string]subject{
	millicast.TypeFeeds: aboutFeeds, millicast.TypeViewers: aboutViewers, millicast.TypeMedia: aboutMedia,
	millicast.TypeRecording: aboutRecordings, millicast.TypeTranscoder: aboutTranscoders,
}
