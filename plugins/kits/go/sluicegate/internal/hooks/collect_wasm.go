package hooks

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// limit is how much is allocated before the collector runs. A run costs a millisecond, and what it frees is used again.
	limit = 4 << 20
	// Asking how much was allocated costs ten microseconds, so it is asked after this many calls or bytes.
	someCalls = 8
	someBytes = 64 << 10
)

var (
	allocated    = []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	collected    uint64
	calls, bytes int
)

// The collector reads a clock when it begins. If an allocation begins it while the gateway passes a value, that is a call out in a
// place where none is allowed, and a trap. So it is off, and runs where calls are allowed.
func init() { debug.SetGCPercent(-1) }

// Collect runs the collector if much was allocated since it ran last.
func Collect() {
	calls, bytes = 0, 0
	metrics.Read(allocated)
	now := allocated[0].Value.Uint64()
	if now-collected > limit {
		collected = now
		runtime.GC()
	}
}

// Called is told the end of a call with so many bytes.
func Called(size int) {
	calls++
	bytes += size
	if calls >= someCalls || bytes >= someBytes {
		Collect()
	}
}
