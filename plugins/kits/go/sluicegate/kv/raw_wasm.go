// <import-kv>
package kv

import raw "sluicegate/internal/wit/sluicegate_plugin_kv"

var get, set, insert, add, remove = raw.Get, raw.Set, raw.Insert, raw.Add, raw.Delete

// </import-kv>
