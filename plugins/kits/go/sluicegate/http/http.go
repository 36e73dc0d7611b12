// <import-http>
// Package http sends requests to servers that the operator has granted.
package http

import (
	"time"

	"sluicegate/internal/capability"
	"sluicegate/internal/hooks"
	raw "sluicegate/internal/wit/sluicegate_plugin_http"
)

// A Request is one to another server.
type Request struct {
	// Method is such as "GET".
	Method string
	// URL is absolute, http or https.
	URL    string
	Fields []hooks.Field
	Body   []byte
	// Timeout is how long the response may take, at most and by default 30 s.
	Timeout time.Duration
}

// A Response is whole, and of any status.
type Response struct {
	Status uint16
	Fields []hooks.Field
	Body   []byte
}

// Send sends a request and waits for the response. Redirects are not followed.
func Send(request Request) (Response, error) {
	response, err := capability.Of(send(raw.Request{
		Method: request.Method, Url: request.URL, Fields: hooks.FieldsOut(request.Fields), Body: request.Body,
		TimeoutMs: uint32(min(max(request.Timeout.Milliseconds(), 0), 30_000)),
	}))
	if err != nil {
		return Response{}, err
	}
	return Response{Status: response.Status, Fields: hooks.FieldsIn(response.Fields), Body: response.Body}, nil
}

// </import-http>
