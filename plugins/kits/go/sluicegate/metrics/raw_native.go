// <import-metrics>
//go:build !wasm

package metrics

import (
	"sluicegate/internal/capability"
	witTypes "sluicegate/internal/wit/types"
)

type pairList = []witTypes.Tuple2[string, string]

var (
	count   = capability.Denied3[string, uint64, pairList, witTypes.Unit]
	observe = capability.Denied3[string, float64, pairList, witTypes.Unit]
)

// </import-metrics>
