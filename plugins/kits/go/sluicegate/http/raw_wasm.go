// <import-http>
package http

import raw "sluicegate/internal/wit/sluicegate_plugin_http"

var send = raw.Send

// </import-http>
