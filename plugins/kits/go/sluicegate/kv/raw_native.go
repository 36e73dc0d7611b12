// <import-kv>
//go:build !wasm

package kv

import (
	"sluicegate/internal/capability"
	witTypes "sluicegate/internal/wit/types"
)

type millisOption = witTypes.Option[uint64]

var (
	get    = capability.Denied1[string, witTypes.Option[[]uint8]]
	set    = capability.Denied3[string, []uint8, millisOption, witTypes.Unit]
	insert = capability.Denied3[string, []uint8, millisOption, bool]
	add    = capability.Denied3[string, int64, millisOption, int64]
	remove = capability.Denied1[string, witTypes.Unit]
)

// </import-kv>
