// <request>
// Package export_sluicegate_plugin_request calls what the author has registered.
package export_sluicegate_plugin_request

import (
	"sluicegate/internal/hooks"
	types "sluicegate/internal/wit/sluicegate_plugin_types"
	witTypes "sluicegate/internal/wit/types"
)

func Head() witTypes.Result[uint8, types.Stop] {
	defer hooks.Called(0)
	if hooks.RequestHead == nil {
		return hooks.Stopped(uint8(0), nil)
	}
	return hooks.Stopped(hooks.RequestHead())
}

func Body(bytes []uint8) witTypes.Result[witTypes.Option[[]uint8], types.Stop] {
	defer hooks.Called(len(bytes))
	body, err := hooks.RequestBody(bytes)
	return hooks.Stopped(hooks.Body(body), err)
}

// </request>
