package store

import (
	"time"

	"github.com/oncue/oncue/store/commit"
)

// newWriter returns the writer of the store's requests.
func (s *Store) newWriter() *commit.Writer[request] {
	return commit.New(commit.Options[request]{
		Write:       s.write,
		Scope:       scopeOf,
		Admit:       s.admit,
		Wrote:       s.wrote,
		Roomy:       func() (bool, error) { return plenty(s.options.Dir) },
		LogPath:     s.path + "-wal",
		UpkeepAfter: s.options.UpkeepAfter,
	})
}

// run runs the writer, on one file after another should they turn out corrupt.
func (s *Store) run() {
	defer close(s.stopped)
	for {
		err := errCorrupt
		s.recent = recent{}
		if s.movedTo == "" {
			err = s.writer.Serve(s.handles.Load().rw)
		}
		if err == nil {
			return
		}
		if faultOf(err) == faultCorrupt {
			err = s.swap(err)
		}
		if err != nil {
			s.log.Error("store: nothing can be written", "error", err)
			s.health.wrote(err)
			if !s.writer.Refuse(err, time.Second) {
				return
			}
		}
	}
}
