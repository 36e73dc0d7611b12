// <import-rate>
package rate

import raw "sluicegate/internal/wit/sluicegate_plugin_rate"

var take, reserve, settle = raw.Take, raw.Reserve, raw.Settle

// </import-rate>
