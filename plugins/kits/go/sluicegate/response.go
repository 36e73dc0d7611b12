// <response>
package sluicegate

import "sluicegate/internal/hooks"

// A ResponsePlan says how a stage wants to see the response body.
type ResponsePlan = uint8

const (
	// ResponseSkip is not at all.
	ResponseSkip ResponsePlan = iota
	// ResponseWhole is in one call of ResponseBody, when it is complete.
	ResponseWhole
	// ResponseChunks is as bytes, when they arrive; needs the export chunks.
	ResponseChunks
	// ResponseSSE is as events; server-sent events are sent. This and the plans below need the export events.
	ResponseSSE
	// ResponseNDJSON is as events; lines of JSON are sent.
	ResponseNDJSON
	// ResponseDocument is as events; one body is sent, which End returns.
	ResponseDocument
)

// ResponseHead registers what happens with the response head, of any status.
func ResponseHead(head func() (ResponsePlan, error)) { hooks.ResponseHead = head }

// ResponseBody registers what happens with a body whose plan was [ResponseWhole]. nil leaves it as it is, an empty slice is an
// empty body.
func ResponseBody(body func(body []byte) ([]byte, error)) { hooks.ResponseBody = body }

// </response>
