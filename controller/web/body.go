package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/oncue/oncue/controller/millicast"
)

const (
	firstChunk   = 4 << 10  // bytes of a body that count against no bound; real hooks are smaller
	roomForJSON  = 16 << 20 // bytes beyond the first chunk, all JSON bodies together
	jpegsAtOnce  = 4
	jpegPatience = 2 * time.Second // how long a JPEG waits for its turn

	lingerTime  = 2 * time.Second // how long a refused body is read and dropped after the answer
	lingerSize  = 16 << 20
	lingerAsked = 200 * time.Millisecond // lingerTime for a sender that asked before it sends
)

// contentOf returns the content type of a delivery and the size that it may have. No content
// encoding is accepted, and so no compressed bomb either.
func contentOf(h http.Header) (kind string, limit int64, ok bool) {
	if len(h["Content-Type"]) > 1 || len(h["Content-Encoding"]) > 0 {
		return "", 0, false
	}
	kind = h.Get("Content-Type")
	limit, ok = millicast.BodyLimit(kind)
	return kind, limit, ok
}

var (
	errTooLarge = errors.New("the body is too large")
	errBusy     = errors.New("too many large bodies at once")
)

// bodies reads request bodies in bounded memory, whatever the number of senders.
type bodies struct {
	room     atomic.Int64  // bytes left for JSON beyond the first chunk
	jpegs    chan struct{} // the turns of JPEGs
	doubtful chan struct{} // the one turn that all doubtful peers share
}

func newBodies() *bodies {
	b := &bodies{jpegs: make(chan struct{}, jpegsAtOnce), doubtful: make(chan struct{}, 1)}
	b.room.Store(roomForJSON)
	return b
}

// read returns the whole body, of at most limit bytes. Memory grows as bytes arrive, never by what
// the sender announces. Call done when the body is no longer needed or has another owner, also
// after an error.
func (b *bodies) read(r *http.Request, limit int64, doubtful bool) (body []byte, done func(), err error) {
	done = func() {}
	if r.ContentLength > limit {
		return nil, done, errTooLarge
	}
	picture := limit == millicast.MaxJPEG
	if picture {
		if done, err = b.turn(r, doubtful); err != nil {
			return nil, done, err
		}
	}
	var taken int64
	if !picture {
		done = func() { b.room.Add(taken) }
	}
	body = make([]byte, 0, firstSize(r.ContentLength))
	for {
		if len(body) == cap(body) {
			size := nextSize(int64(len(body)), r.ContentLength, limit)
			if !picture {
				more := size - int64(len(body))
				if b.room.Add(-more) < 0 {
					b.room.Add(more)
					return nil, done, errBusy
				}
				taken += more
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > limit {
			return nil, done, errTooLarge
		}
		if err == io.EOF {
			return body, done, nil
		}
		if err != nil {
			return nil, done, err
		}
	}
}

// firstSize is the size of the first buffer. For a body of known size it is one byte larger, so
// that the end is found without growing it.
func firstSize(length int64) int64 {
	if length >= 0 && length < firstChunk {
		return length + 1
	}
	return firstChunk
}

// nextSize is how large a full buffer becomes. Once the first chunk has come, the announced length
// is believed for JPEGs, whose number is bounded; other buffers double.
func nextSize(size, announced, limit int64) int64 {
	if limit == millicast.MaxJPEG && announced >= size {
		return announced + 1
	}
	return min(2*size, limit+1)
}

// turn waits a moment for one of the few turns of JPEGs, which done gives back. Thumbnails never
// delay hooks. Reading and verifying an unsigned one takes time and 8 MiB, so all doubtful peers
// together have one turn only.
func (b *bodies) turn(r *http.Request, doubtful bool) (done func(), err error) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), jpegPatience, errBusy)
	defer cancel()
	queues := []chan struct{}{b.doubtful, b.jpegs}
	if !doubtful {
		queues = queues[1:]
	}
	taken := 0
	done = func() {
		for _, q := range queues[:taken] {
			<-q
		}
	}
	for _, q := range queues {
		select {
		case q <- struct{}{}:
			taken++
		case <-ctx.Done():
			return done, context.Cause(ctx)
		}
	}
	return done, nil
}

// bodyFailure returns the result of a delivery whose body read refused.
func bodyFailure(err error) HookResult {
	switch {
	case errors.Is(err, errTooLarge):
		return ResultTooLarge
	case errors.Is(err, errBusy):
		return ResultBusy
	case isTimeout(err):
		return ResultSlow
	default:
		return ResultMalformed
	}
}
