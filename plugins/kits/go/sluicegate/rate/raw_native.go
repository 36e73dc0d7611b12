// <import-rate>
//go:build !wasm

package rate

import (
	"sluicegate/internal/capability"
	raw "sluicegate/internal/wit/sluicegate_plugin_rate"
	witTypes "sluicegate/internal/wit/types"
)

var (
	take    = capability.Denied1[[]raw.Limit, raw.Verdict]
	reserve = capability.Denied1[[]raw.Limit, raw.Verdict]
	settle  = capability.Denied3[uint64, string, uint64, witTypes.Unit]
)

// </import-rate>
