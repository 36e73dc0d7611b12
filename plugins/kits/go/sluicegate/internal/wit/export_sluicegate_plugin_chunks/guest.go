// <chunks>
// Package export_sluicegate_plugin_chunks calls what the author has registered.
package export_sluicegate_plugin_chunks

import (
	"sluicegate/internal/hooks"
	types "sluicegate/internal/wit/sluicegate_plugin_types"
	witTypes "sluicegate/internal/wit/types"
)

func Chunk(bytes []uint8, last bool) witTypes.Result[witTypes.Option[[]uint8], types.Fault] {
	defer hooks.Called(len(bytes))
	out, err := hooks.Chunk(bytes, last)
	return hooks.Faulted(hooks.Body(out), err)
}

// </chunks>
