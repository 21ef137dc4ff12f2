package obs

import (
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// ingestServer is the platform's RTMP side, for one stream.
type ingestServer struct {
	t   *testing.T
	url string // without the stream

	server *rtmp.Server

	mu    sync.Mutex
	open  map[*rtmp.Publisher]bool
	most  int // publishers at once, ever
	names []string
	tags  int
}

func newIngest(t *testing.T) *ingestServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &ingestServer{t: t, url: "rtmp://" + l.Addr().String() + "/v2/pub", open: map[*rtmp.Publisher]bool{}}
	i.server = rtmp.NewServer(rtmp.Settings{Handler: i})
	var serving sync.WaitGroup
	serving.Go(func() { i.server.Serve(l) })
	t.Cleanup(func() { i.server.Close(); serving.Wait() })
	return i
}

func (i *ingestServer) Publish(p *rtmp.Publisher) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.open[p] = true
	i.most = max(i.most, len(i.open))
	i.names = append(i.names, p.Name)
	return nil
}

func (i *ingestServer) Tag(*rtmp.Publisher, rtmp.Tag) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tags++
}

func (i *ingestServer) Unpublish(p *rtmp.Publisher, _ error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.open, p)
}

func (i *ingestServer) feeds() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.open)
}

// drop ends all feeds, as a lost network does.
func (i *ingestServer) drop() {
	i.mu.Lock()
	var all []*rtmp.Publisher
	for p := range i.open {
		all = append(all, p)
	}
	i.mu.Unlock()
	for _, p := range all {
		p.Drop(true, rtmp.ErrGone)
	}
}

func (r *rig) awaitFeeds(i *ingestServer, n int) {
	r.t.Helper()
	await(r.t, "the ingest has as many feeds as it should", func() bool { return i.feeds() == n })
}

func (i *ingestServer) published(name string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Contains(i.names, name)
}
