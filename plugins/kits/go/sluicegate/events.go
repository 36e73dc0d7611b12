// <events>
package sluicegate

import (
	"sluicegate/internal/hooks"
	"sluicegate/internal/host"
)

// An Event is a record of a streamed body: an SSE event, or a line of NDJSON.
type Event = hooks.Event

// Events registers what happens with events, as they arrive: at least one, in batches whose size has no meaning. nil leaves them
// as they are and costs no copy; an empty slice sends none.
func Events(batch func(events []Event) ([]Event, error)) { hooks.Batch = batch }

// End registers what is sent at the end of a stream that has not failed; after [ResponseDocument] exactly one event, whose data is
// the body.
func End(end func() ([]Event, error)) { hooks.End = end }

// EndBody ends the body with the events that this call returns. Only in the function of [Events].
func EndBody() error { return host.EndBody() }

// </events>
