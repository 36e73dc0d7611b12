// <request>
package sluicegate

import "sluicegate/internal/hooks"

// A RequestPlan says how a stage wants to see the request body.
type RequestPlan = uint8

const (
	// RequestSkip is not at all.
	RequestSkip RequestPlan = iota
	// RequestLook is without its bytes: RequestBody is called with none once it is complete, and can use [RequestJSON].
	RequestLook
	// RequestWhole is the whole body, when it is complete.
	RequestWhole
)

// RequestHead registers what happens with the request head. Without it the body is seen as a whole if RequestBody is registered.
func RequestHead(head func() (RequestPlan, error)) { hooks.RequestHead = head }

// RequestBody registers what happens with the request body. nil leaves it as it is, also after [RequestLook]; an empty slice is an
// empty body.
func RequestBody(body func(body []byte) ([]byte, error)) {
	hooks.RequestBody = body
	if hooks.RequestHead == nil {
		RequestHead(func() (RequestPlan, error) { return RequestWhole, nil })
	}
}

// </request>
