// <observer>
// Package export_sluicegate_plugin_observer calls what the author has registered.
package export_sluicegate_plugin_observer

import (
	"sluicegate/internal/hooks"
	observer "sluicegate/internal/wit/sluicegate_plugin_observer"
)

func Observe(batch []observer.Summary) {
	defer hooks.Called(0)
	in := make([]hooks.Summary, len(batch))
	for i, summary := range batch {
		in[i] = hooks.SummaryIn(summary)
	}
	hooks.Observe(in)
}

// </observer>
