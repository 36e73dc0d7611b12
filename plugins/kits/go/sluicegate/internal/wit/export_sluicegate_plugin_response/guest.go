// <response>
// Package export_sluicegate_plugin_response calls what the author has registered.
package export_sluicegate_plugin_response

import (
	"sluicegate/internal/hooks"
	types "sluicegate/internal/wit/sluicegate_plugin_types"
	witTypes "sluicegate/internal/wit/types"
)

func Head() witTypes.Result[uint8, types.Stop] {
	defer hooks.Called(0)
	return hooks.Stopped(hooks.ResponseHead())
}

func Body(bytes []uint8) witTypes.Result[witTypes.Option[[]uint8], types.Stop] {
	defer hooks.Called(len(bytes))
	body, err := hooks.ResponseBody(bytes)
	return hooks.Stopped(hooks.Body(body), err)
}

// </response>
