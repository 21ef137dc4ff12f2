package daemon

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
)

const releaseFrom = 4 << 20 // bytes

// releaseMemory returns freed heap to the system after a start, a reload or a flood; the garbage
// collector would keep it for long.
func releaseMemory(context.Context) {
	heap := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(heap)
	objects, free, live := heap[0].Value.Uint64(), heap[1].Value.Uint64(), heap[2].Value.Uint64()
	if objects+free > live+releaseFrom {
		debug.FreeOSMemory()
	}
}
