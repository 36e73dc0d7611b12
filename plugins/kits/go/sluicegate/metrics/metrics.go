// <import-metrics>
// Package metrics has the plugin's own metrics, on the gateway's /metrics.
package metrics

import (
	"sluicegate/internal/capability"
	witTypes "sluicegate/internal/wit/types"
)

// Labels are names with values that clients do not choose.
type Labels map[string]string

func pairs(labels Labels) []witTypes.Tuple2[string, string] {
	pairs := make([]witTypes.Tuple2[string, string], 0, len(labels))
	for name, value := range labels {
		pairs = append(pairs, witTypes.Tuple2[string, string]{F0: name, F1: value})
	}
	return pairs
}

// Count adds to a counter.
func Count(name string, by uint64, labels Labels) error {
	return capability.Done(count(name, by, pairs(labels)))
}

// Observe adds a value to a histogram.
func Observe(name string, value float64, labels Labels) error {
	return capability.Done(observe(name, value, pairs(labels)))
}

// </import-metrics>
