package sluicegate

import "sluicegate/internal/hooks"

// A Fault refuses or fails an exchange. The client gets it as a JSON error with this status or, once a stream has begun, as its
// last event.
type Fault = hooks.Fault

// A Reply is a response of the plugin's own. Only Gate, the request's and the response's functions may return it.
type Reply = hooks.Reply

// A Field is a header field.
type Field = hooks.Field

// Refuse makes a fault: its status, 400 to 599, a stable word for programs, and a sentence for the person behind the client.
func Refuse(status uint16, code, message string) error {
	return &Fault{Status: status, Code: code, Message: message}
}
