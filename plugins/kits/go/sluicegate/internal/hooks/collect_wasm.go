package hooks

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// limit is how much is allocated before the collector runs. A run costs a millisecond, and what it frees is used again.
const limit = 4 << 20

var (
	allocated = []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	collected uint64
)

// The collector reads a clock when it begins. If an allocation begins it while the gateway passes a value, that is a call out in a
// place where none is allowed, and a trap. So it is off, and runs where calls are allowed.
func init() { debug.SetGCPercent(-1) }

// Collect runs the collector if much was allocated since it ran last.
func Collect() {
	metrics.Read(allocated)
	now := allocated[0].Value.Uint64()
	if now-collected > limit {
		collected = now
		runtime.GC()
	}
}
