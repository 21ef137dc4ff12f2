package simulator

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// sink writes a feed somewhere, from its next keyframe.
type sink struct {
	write func(rtmp.Tag) error
	began bool
	done  chan error // receives nil at the end, or the first failure; has room for one
}

// accept writes a tag and reports whether the sink wants more. Called with feed.mu held.
func (k *sink) accept(t rtmp.Tag, setup map[rtmp.TagKind]rtmp.Tag) bool {
	if !k.began {
		if !t.Keyframe() {
			return true
		}
		k.began = true
		for _, kind := range []rtmp.TagKind{rtmp.Script, rtmp.Video, rtmp.Audio} {
			if s, ok := setup[kind]; ok {
				s.Timestamp = t.Timestamp
				if err := k.write(s); err != nil {
					k.done <- err
					return false
				}
			}
		}
	}
	if err := k.write(t); err != nil {
		k.done <- err
		return false
	}
	return true
}

// Dump writes the feed of a stream that is on the air to w as FLV, from its next keyframe until it
// is not on the air any more, ctx ends or a write fails; only the last is an error. w is written to
// from the publisher's goroutine: a slow one slows the publisher.
func (s *Simulator) Dump(ctx context.Context, name string, w io.Writer) error {
	s.mu.Lock()
	st := s.streams[name]
	if st == nil || !st.live() {
		s.mu.Unlock()
		return fmt.Errorf("dump of stream %q: it is not live", name)
	}
	f := st.onAir()[0]
	flv := rtmp.NewFLVWriter(w)
	k := &sink{write: flv.WriteTag, done: make(chan error, 1)}
	f.mu.Lock()
	f.sinks = append(f.sinks, k)
	f.mu.Unlock()
	s.mu.Unlock()

	select {
	case err := <-k.done:
		if err != nil {
			return fmt.Errorf("dump of stream %q: %w", name, err)
		}
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sinks = slices.DeleteFunc(f.sinks, func(other *sink) bool { return other == k })
	return flv.Flush()
}

// endSinks tells the sinks that no more will come. Called with feed.mu held.
func (f *feed) endSinks() {
	for _, k := range f.sinks {
		k.done <- nil
	}
	f.sinks = nil
}
