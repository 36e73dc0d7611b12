// <import-http>
//go:build !wasm

package http

import (
	"sluicegate/internal/capability"
	raw "sluicegate/internal/wit/sluicegate_plugin_http"
)

var send = capability.Denied1[raw.Request, raw.Response]

// </import-http>
