// <import-metrics>
package metrics

import raw "sluicegate/internal/wit/sluicegate_plugin_metrics"

var count, observe = raw.Count, raw.Observe

// </import-metrics>
