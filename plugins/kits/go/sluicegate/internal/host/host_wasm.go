// Package host has what the gateway gives to plugins.
package host

import (
	"sluicegate/internal/hooks"
	"sluicegate/internal/wit/sluicegate_plugin_exchange"
	"sluicegate/internal/wit/sluicegate_plugin_log"
	types "sluicegate/internal/wit/sluicegate_plugin_types"
	witTypes "sluicegate/internal/wit/types"
)

type result = witTypes.Result[witTypes.Unit, types.Fault]

func done(result result) error {
	if result.IsErr() {
		return hooks.FaultIn(result.Err())
	}
	return nil
}

func text(value witTypes.Option[[]uint8]) (string, bool) {
	return string(value.SomeOr(nil)), value.IsSome()
}

func found(value witTypes.Option[string]) (string, bool) { return value.SomeOr(""), value.IsSome() }

func ID() string           { return sluicegate_plugin_exchange.Id() }
func Route() string        { return sluicegate_plugin_exchange.Route() }
func Client() string       { return sluicegate_plugin_exchange.Client() }
func Attempt() uint32      { return sluicegate_plugin_exchange.Attempt() }
func Method() string       { return sluicegate_plugin_exchange.Method() }
func Path() string         { return sluicegate_plugin_exchange.Path() }
func Query() string        { return sluicegate_plugin_exchange.Query() }
func Status() uint16       { return sluicegate_plugin_exchange.Status() }
func RequestBytes() uint64 { return sluicegate_plugin_exchange.RequestBytes() }

func SetMethod(method string) error { return done(sluicegate_plugin_exchange.SetMethod(method)) }
func SetPath(path string) error     { return done(sluicegate_plugin_exchange.SetPath(path)) }
func SetQuery(query string) error   { return done(sluicegate_plugin_exchange.SetQuery(query)) }
func SetUpstream(name string) error { return done(sluicegate_plugin_exchange.SetUpstream(name)) }
func SetStatus(status uint16) error { return done(sluicegate_plugin_exchange.SetStatus(status)) }
func Remove(name string) error      { return done(sluicegate_plugin_exchange.Remove(name)) }
func EndBody() error                { return done(sluicegate_plugin_exchange.EndBody()) }

func Set(name, value string) error {
	return done(sluicegate_plugin_exchange.Set(name, []byte(value)))
}

func Append(name, value string) error {
	return done(sluicegate_plugin_exchange.Append(name, []byte(value)))
}

func SetResponseField(name, value string) error {
	return done(sluicegate_plugin_exchange.SetResponseField(name, []byte(value)))
}

func SetNote(name, json string) error {
	return done(sluicegate_plugin_exchange.SetNote(name, json))
}

func Fields() []hooks.Field { return hooks.FieldsIn(sluicegate_plugin_exchange.Fields()) }

func Get(name string) (string, bool) { return text(sluicegate_plugin_exchange.Get(name)) }

func RequestField(name string) (string, bool) {
	return text(sluicegate_plugin_exchange.RequestField(name))
}

func RequestJSON(pointer string) (string, bool) {
	return found(sluicegate_plugin_exchange.RequestJson(pointer))
}

func Note(name string) (string, bool) { return found(sluicegate_plugin_exchange.Note(name)) }

func Log(level uint8, message, fields string) {
	sluicegate_plugin_log.Write(level, message, fields)
}
