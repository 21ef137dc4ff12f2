package rtmp

import "sync"

// gate makes a reader wait while it is shut. The zero gate is open.
type gate struct {
	mu     sync.Mutex
	closed chan struct{} // nil while open, closed when it opens
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

// opened returns a channel that is closed when the gate opens, or nil when it is open.
func (g *gate) opened() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}
