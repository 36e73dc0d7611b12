package hooks

// <observer>
import (
	"encoding/json"
	"time"

	observer "sluicegate/internal/wit/sluicegate_plugin_observer"
)

// </observer>
// <gate>
// Check is the gate.
var Check = func() error { return nil }

// </gate>
// <request>
// RequestHead is nil until one of the request's functions is registered.
var RequestHead func() (uint8, error)

// RequestBody leaves a body as it is.
var RequestBody = func([]byte) ([]byte, error) { return nil, nil }

// </request>
// <response>
// ResponseHead skips.
var ResponseHead = func() (uint8, error) { return 0, nil }

// ResponseBody leaves a body as it is.
var ResponseBody = func([]byte) ([]byte, error) { return nil, nil }

// </response>
// <chunks>
// Chunk leaves bytes as they are.
var Chunk = func([]byte, bool) ([]byte, error) { return nil, nil }

// </chunks>
// <events>
// An Event is a record of a streamed body.
type Event struct {
	// Name is the SSE event's name, or "".
	Name string
	// Data is the lines of data joined by newlines, or the line of NDJSON.
	Data string
	// ID is nil if the event has none.
	ID *string
}

// Batch leaves events as they are.
var Batch = func([]Event) ([]Event, error) { return nil, nil }

// End adds no events.
var End = func() ([]Event, error) { return nil, nil }

// </events>
// <closing>
// Closed does nothing.
var Closed = func(string) {}

// </closing>
// <observer>
// A Summary is what is known about an exchange that is over.
type Summary struct {
	ID, Route, Method, Path, Client string
	// Status is what the client got, 0 if it left before there was a response.
	Status uint16
	// Error is "" or a code such as "client_closed".
	Error                               string
	Upstream, Target                    string
	Attempts                            uint32
	RequestBytes, ResponseBytes, Events uint64
	Duration, FirstByte, Overhead       time.Duration
	// Facts are the notes as JSON.
	Facts map[string]json.RawMessage
}

// SummaryIn makes a summary of the contract's.
func SummaryIn(from observer.Summary) Summary {
	facts := make(map[string]json.RawMessage, len(from.Facts))
	for _, fact := range from.Facts {
		facts[fact.F0] = json.RawMessage(fact.F1)
	}
	micros := func(count uint64) time.Duration { return time.Duration(count) * time.Microsecond }
	return Summary{
		ID: from.Id, Route: from.Route, Method: from.Method, Path: from.Path, Client: from.Client,
		Status: from.Status, Error: from.Error, Upstream: from.Upstream, Target: from.Target, Attempts: from.Attempts,
		RequestBytes: from.RequestBytes, ResponseBytes: from.ResponseBytes, Events: from.Events,
		Duration: micros(from.DurationUs), FirstByte: micros(from.FirstByteUs), Overhead: micros(from.OverheadUs),
		Facts: facts,
	}
}

// Observe does nothing.
var Observe = func([]Summary) {}

// </observer>
