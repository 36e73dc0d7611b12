package sluicegate

import (
	"encoding/json"

	"sluicegate/internal/host"
)

// ID is the request id, the same in every log, in the response and in the request to the model server.
func ID() string { return host.ID() }

// Route is the path of the route that matched, as configured.
func Route() string { return host.Route() }

// Client is the client's address without its port.
func Client() string { return host.Client() }

// Attempt is the number of the attempt in an adapter, from 1; 0 in the stages of a route.
func Attempt() uint32 { return host.Attempt() }

// Method is the request method in upper case.
func Method() string { return host.Method() }

// SetMethod sets the method. Only in request phases.
func SetMethod(method string) error { return host.SetMethod(method) }

// Path is the path for the model server, percent-encoded, without the query.
func Path() string { return host.Path() }

// SetPath sets the path, which begins with "/". Only in request phases.
func SetPath(path string) error { return host.SetPath(path) }

// Query is the query without its "?", or "".
func Query() string { return host.Query() }

// SetQuery sets the query; "" removes it. Only in request phases.
func SetQuery(query string) error { return host.SetQuery(query) }

// SetUpstream sends the exchange to another configured upstream. Only in request phases.
func SetUpstream(name string) error { return host.SetUpstream(name) }

// Status is the status of the response, 0 until there is one.
func Status() uint16 { return host.Status() }

// SetStatus sets the status, 200 to 599. Only in response phases.
func SetStatus(status uint16) error { return host.SetStatus(status) }

// Fields are the header fields of the current direction: the request's in request phases, later the response's.
func Fields() []Field { return host.Fields() }

// Get is the first field of this name in the current direction, in any letter case.
func Get(name string) (value string, ok bool) { return host.Get(name) }

// Set replaces all fields of this name by one.
func Set(name, value string) error { return host.Set(name, value) }

// Add adds a field and keeps those of the same name.
func Add(name, value string) error { return host.Append(name, value) }

// Remove removes all fields of this name.
func Remove(name string) error { return host.Remove(name) }

// SetResponseField sets a header field of the response, whatever it will be, from any phase.
func SetResponseField(name, value string) error { return host.SetResponseField(name, value) }

// RequestField is the first request field of this name, in every phase.
func RequestField(name string) (value string, ok bool) { return host.RequestField(name) }

// RequestJSON is the JSON at a JSON Pointer in the request body, from RequestBody up to ResponseHead.
func RequestJSON(pointer string) (text json.RawMessage, ok bool) {
	found, ok := host.RequestJSON(pointer)
	return json.RawMessage(found), ok
}

// RequestBytes is the size of the request body, in the phases of [RequestJSON].
func RequestBytes() uint64 { return host.RequestBytes() }

// Note decodes a note into a value and says whether there is one of this type. Notes are shared by the stages of an exchange.
func Note(name string, into any) bool {
	text, ok := host.Note(name)
	return ok && json.Unmarshal([]byte(text), into) == nil
}

// SetNote sets a note to a value that encoding/json can encode.
func SetNote(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return host.SetNote(name, string(text))
}
