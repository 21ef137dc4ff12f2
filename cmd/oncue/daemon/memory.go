package daemon

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
)

const giveBackFrom = 4 << 20 // bytes

// giveBackMemory returns to the system what a start and its checks, a reload or a flood took and nobody needs any more: the collector would keep it.
func giveBackMemory(context.Context) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(heap)
	if objects, free, live := heap[0].Value.Uint64(), heap[1].Value.Uint64(), heap[2].Value.Uint64(); objects+free > live+giveBackFrom {
		debug.FreeOSMemory()
	}
}
