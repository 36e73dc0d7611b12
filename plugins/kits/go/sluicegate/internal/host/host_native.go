//go:build !wasm

// Package host has what the gateway gives to plugins; here, in native tests, it gives nothing.
package host

import (
	"fmt"
	"os"

	"sluicegate/internal/hooks"
)

func ID() string            { return "" }
func Route() string         { return "" }
func Client() string        { return "" }
func Attempt() uint32       { return 0 }
func Method() string        { return "" }
func Path() string          { return "" }
func Query() string         { return "" }
func Status() uint16        { return 0 }
func RequestBytes() uint64  { return 0 }
func Fields() []hooks.Field { return nil }

func SetMethod(string) error                { return nil }
func SetPath(string) error                  { return nil }
func SetQuery(string) error                 { return nil }
func SetUpstream(string) error              { return nil }
func SetStatus(uint16) error                { return nil }
func Remove(string) error                   { return nil }
func EndBody() error                        { return nil }
func Set(string, string) error              { return nil }
func Append(string, string) error           { return nil }
func SetResponseField(string, string) error { return nil }
func SetNote(string, string) error          { return nil }

func Get(string) (string, bool)          { return "", false }
func RequestField(string) (string, bool) { return "", false }
func RequestJSON(string) (string, bool)  { return "", false }
func Note(string) (string, bool)         { return "", false }

func Log(_ uint8, message, fields string) { fmt.Fprintln(os.Stderr, message, fields) }
