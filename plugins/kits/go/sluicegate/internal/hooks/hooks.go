// Package hooks has what the author has registered, and makes the contract's values of it.
package hooks

import (
	"errors"
	"fmt"
	"log/slog"

	types "sluicegate/internal/wit/sluicegate_plugin_types"
	witTypes "sluicegate/internal/wit/types"
)

// Describe and the others are set by the package sluicegate.
var (
	Describe  = func() string { return "" }
	Configure = func(string) (string, error) { return "", nil }
)

// A Field is a header field.
type Field struct{ Name, Value string }

// A Fault refuses or fails an exchange.
type Fault struct {
	// Status is 400 to 599.
	Status uint16
	// Code is a stable word for programs, such as "invalid_api_key".
	Code string
	// Message is a sentence for the person behind the client.
	Message string
	// Param is the parameter of the request that caused it, such as "messages[0].role", or "".
	Param string
	// Fields are header fields of the error response, such as retry-after.
	Fields []Field
}

func (f *Fault) Error() string { return fmt.Sprintf("%d %s: %s", f.Status, f.Code, f.Message) }

// A Reply is a response of the plugin's own.
type Reply struct {
	// Status is 200 to 599.
	Status uint16
	Fields []Field
	Body   []byte
	// Reason is a short dotted label for logs, such as "cache.hit".
	Reason string
}

func (r *Reply) Error() string { return fmt.Sprintf("a reply with status %d: %s", r.Status, r.Reason) }

// FieldsOut makes the contract's fields.
func FieldsOut(fields []Field) []types.Field {
	out := make([]types.Field, len(fields))
	for i, field := range fields {
		out[i] = types.Field{Name: field.Name, Value: []byte(field.Value)}
	}
	return out
}

// FieldsIn makes fields of the contract's.
func FieldsIn(fields []types.Field) []Field {
	in := make([]Field, len(fields))
	for i, field := range fields {
		in[i] = Field{Name: field.Name, Value: string(field.Value)}
	}
	return in
}

// faultOut makes a fault of any error. Only the words of a Fault are for clients.
func faultOut(err error) types.Fault {
	var fault *Fault
	if !errors.As(err, &fault) {
		slog.Error("the plugin has failed", "failure", err.Error())
		fault = &Fault{Status: 500, Code: "plugin_fault", Message: "a stage has failed"}
	}
	out := types.Fault{Status: fault.Status, Code: fault.Code, Message: fault.Message, Param: witTypes.None[string]()}
	if fault.Param != "" {
		out.Param = witTypes.Some(fault.Param)
	}
	out.Fields = witTypes.None[[]types.Field]()
	if len(fault.Fields) > 0 {
		out.Fields = witTypes.Some(FieldsOut(fault.Fields))
	}
	return out
}

// FaultIn makes an error of the contract's fault.
func FaultIn(fault types.Fault) error {
	in := &Fault{Status: fault.Status, Code: fault.Code, Message: fault.Message, Param: fault.Param.SomeOr("")}
	in.Fields = FieldsIn(fault.Fields.SomeOr(nil))
	return in
}

// Stopped is the result of a phase that may also reply.
func Stopped[T any](value T, err error) witTypes.Result[T, types.Stop] {
	if err == nil {
		return witTypes.Ok[T, types.Stop](value)
	}
	var reply *Reply
	if errors.As(err, &reply) {
		out := types.Reply{Status: reply.Status, Fields: FieldsOut(reply.Fields), Body: reply.Body, Reason: reply.Reason}
		return witTypes.Err[T](types.MakeStopReply(out))
	}
	return witTypes.Err[T](types.MakeStopFault(faultOut(err)))
}

// Faulted is the result of a phase that may only fail.
func Faulted[T any](value T, err error) witTypes.Result[T, types.Fault] {
	if err == nil {
		return witTypes.Ok[T, types.Fault](value)
	}
	return witTypes.Err[T](faultOut(err))
}

// Body is what replaces a body: nil leaves it as it is.
func Body(body []byte) witTypes.Option[[]byte] {
	if body == nil {
		return witTypes.None[[]byte]()
	}
	return witTypes.Some(body)
}
