package rtmp

import (
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// Publisher is one connection that asked to publish. Its fields never change once it is accepted;
// its methods may be called from anywhere.
type Publisher struct {
	Name      string       // the stream's name, decoded
	Key       secret.Value // the whole playpath, token included
	Token     secret.Value // ?token=, or what ?t= stands for: hexadecimal
	Params    url.Values   // the other parameters of the playpath; "&simulcastId" has the value ""
	Remote    string       // address, host:port
	Connected time.Time    // when TCP was accepted
	Published time.Time    // when the publish command was read

	Owner any // belongs to the handler, which sets it in Publish and nowhere else

	conn  *conn
	ended atomic.Bool
	once  sync.Once
}

// unpublish tells the handler once that the feed has ended.
func (p *Publisher) unpublish(cause error) {
	p.once.Do(func() {
		p.ended.Store(true)
		p.conn.srv.set.Handler.Unpublish(p, cause)
	})
}

// Freeze stops reading from the publisher, whose sends block once the buffers of the sockets are
// full. The connection stays; the feed ends after the usual silence, as it does when a network
// loses everything.
func (p *Publisher) Freeze() { p.conn.gate.shut() }

// Thaw resumes reading after Freeze. A feed that has ended meanwhile stays ended: what its
// publisher sends is read and dropped.
func (p *Publisher) Thaw() { p.conn.gate.open() }

// Drop ends the connection: at once with a TCP reset, or politely with a FIN. The handler hears of
// it, with cause, before Drop returns.
func (p *Publisher) Drop(reset bool, cause error) {
	p.unpublish(cause)
	if !reset {
		p.conn.hangUp()
		return
	}
	if lingerer, ok := p.conn.nc.(interface{ SetLinger(seconds int) error }); ok {
		lingerer.SetLinger(0)
	}
	p.conn.srv.mu.Lock()
	p.conn.close()
	p.conn.srv.mu.Unlock()
}

// Open reports whether the connection is open, whether or not it is read.
func (p *Publisher) Open() bool {
	select {
	case <-p.conn.done:
		return false
	default:
		return true
	}
}
