// <closing>
// Package export_sluicegate_plugin_closing calls what the author has registered.
package export_sluicegate_plugin_closing

import "sluicegate/internal/hooks"

func Closed(failure string) {
	defer hooks.Called(0)
	hooks.Closed(failure)
}

// </closing>
