package simulator

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// snapshotTimeout is how long making one picture may take, real time: on a busy host starting an
// ffmpeg takes seconds.
const snapshotTimeout = 30 * time.Second

// scheduleThumbnail makes a thumbnail of an open feed each 30 s, if the settings and the token say
// so. Called with mu held.
func (s *Simulator) scheduleThumbnail(f *feed) {
	if !s.set.Thumbnails || !f.thumbnails || s.closed || !slices.Contains(f.stream.feeds, f) {
		return
	}
	f.thumbnail = s.after(thumbnailPeriod, func() {
		s.makeThumbnail(f, func() { s.scheduleThumbnail(f) }) // one after the other: they must not pile up
	})
}

// makeThumbnail makes a picture in the background, one at a time, sends it, and calls then with mu
// held. Called with mu held and the simulator open.
func (s *Simulator) makeThumbnail(f *feed, then func()) {
	if !s.hooks.wanted(aboutThumbnails, f.stream.name) {
		then()
		return
	}
	s.work.Go(func() {
		picture, err := s.picture(f)
		s.mu.Lock()
		defer s.mu.Unlock()
		defer then()
		switch {
		case s.closed:
		case err != nil:
			s.set.Log.Warn("simulator: no thumbnail", "stream", f.stream.name, "error", err)
		default:
			s.sendThumbnail(f.stream.name, f.id(), f.tokenID(), picture)
		}
	})
}

var errNoKeyframe = errors.New("no keyframe has come yet")

// picture makes a feed's picture; a feed without a publisher has a test card.
func (s *Simulator) picture(f *feed) ([]byte, error) {
	s.camera.Lock()
	defer s.camera.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, snapshotTimeout)
	defer cancel()
	if f.publisher == nil {
		return testCard(ctx, nil)
	}
	flv := f.keyframeFLV()
	if flv == nil {
		return nil, errNoKeyframe
	}
	return s.set.Snapshot(ctx, flv)
}

// sendThumbnail sends a picture to the webhooks that want it. Called with mu held.
func (s *Simulator) sendThumbnail(name, feedID string, tokenID int, picture []byte) {
	header := make(http.Header)
	millicast.ThumbnailHeader(header, s.set.Account, name, feedID, strconv.Itoa(tokenID), s.now())
	s.hooks.send(notice{
		about: aboutThumbnails, typ: millicast.TypeThumbnail, stream: name,
		contentType: millicast.ContentJPEG, body: picture, header: header,
	})
}

// keyframeFLV returns the last keyframe with what its decoder needs, as an FLV file; nil when there
// is none.
func (f *feed) keyframeFLV() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key.Data == nil {
		return nil
	}
	var b bytes.Buffer
	flv := rtmp.NewFLVWriter(&b)
	if config, ok := f.setup[rtmp.Video]; ok {
		config.Timestamp = f.key.Timestamp
		flv.WriteTag(config)
	}
	flv.WriteTag(f.key)
	flv.Flush() // a bytes.Buffer takes all
	return b.Bytes()
}

var errThumbnailLimit = errors.New("thumbnails on demand are limited to 6 per minute and stream")

// thumbnailNow makes a thumbnail of a live stream on demand.
func (s *Simulator) thumbnailNow(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	if st == nil || !st.live() {
		return fmt.Errorf("stream %q is not live", name)
	}
	now := time.Now()
	minute := s.scaled(thumbnailMinute)
	st.pictures = slices.DeleteFunc(st.pictures, func(at time.Time) bool { return now.Sub(at) >= minute })
	if len(st.pictures) >= thumbnailBurst {
		return errThumbnailLimit
	}
	st.pictures = append(st.pictures, now)
	if !s.closed {
		s.makeThumbnail(st.onAir()[0], func() {})
	}
	return nil
}

// testCard draws a small picture, a new one each time: the thumbnail where Settings.Snapshot is
// nil.
func testCard(context.Context, []byte) ([]byte, error) {
	const width, height, bars = 320, 180, 8
	var seed [3]byte
	rand.Read(seed[:])
	card := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			bar := x * bars / width
			shade := func(bit int, low byte) byte {
				if bar>>bit&1 == 0 {
					return 255 - low/4
				}
				return low / 2
			}
			card.SetRGBA(x, y, color.RGBA{shade(0, seed[0]), shade(1, seed[1]), shade(2, seed[2]), 255})
		}
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, card, nil)
	return b.Bytes(), err
}
