// <gate>
// Package export_sluicegate_plugin_gate calls what the author has registered.
package export_sluicegate_plugin_gate

import (
	"sluicegate/internal/hooks"
	types "sluicegate/internal/wit/sluicegate_plugin_types"
	witTypes "sluicegate/internal/wit/types"
)

func Check() witTypes.Result[witTypes.Unit, types.Stop] {
	defer hooks.Called(0)
	return hooks.Stopped(witTypes.Unit{}, hooks.Check())
}

// </gate>
