// Package sluicegate is what an author in Go imports to write a plugin. It is written by `sluicegate plugin build`.
//
// A plugin says what it is and registers functions for its phases, in an init function of package main:
//
//	func init() {
//		sluicegate.Plugin(sluicegate.Manifest{Name: "door", Version: "0.1.0", Summary: "Asks for a key"})
//		sluicegate.Gate(check)
//	}
//
//	func check() error {
//		if _, ok := sluicegate.Get("x-key"); !ok {
//			return sluicegate.Refuse(401, "missing_key", "send a key")
//		}
//		return nil
//	}
//
//	func main() {}
//
// There is a function for each export that plugin.toml names, and for no other.
//
// The memory as it is after init and Configure is copied for every exchange, so variables belong to one exchange, and nothing of
// one exchange is seen by another. An exchange is served by one goroutine at a time: no locks are needed.
//
// A returned error refuses or fails the exchange: a [*Fault] with its words, any other error as an error of the gateway, whose
// text is only logged.
//
// The collector runs at the end of some calls, never within one: see [Collect]. Natively, in tests of your own functions, there is no
// exchange: getters give nothing and setters do nothing.
package sluicegate

import (
	"encoding/json"

	"sluicegate/internal/hooks"
)

// Manifest is what a plugin says about itself.
type Manifest struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Summary string `json:"summary"`
	// Config is the JSON Schema of the configuration. Without it, only an empty configuration is accepted.
	Config json.RawMessage `json:"config,omitempty"`
	// ResponseIf has notes and the values that they must have for the response phases to be called.
	ResponseIf map[string]any `json:"response-if,omitempty"`
	// NeverTransforms says that the plugin never changes a body. Only such a stage may be configured to fail open.
	NeverTransforms bool `json:"-"`
	// Authenticates says that the gate refuses every request without credentials, with status 401 or 403.
	Authenticates bool `json:"authenticates,omitempty"`
	// Limits are suggested to operators who configure none. Without them, 64 MiB and 100 ms: a runtime with a collector needs
	// more than other languages.
	Limits Limits `json:"limits"`
}

// Limits of an instance and of a call.
type Limits struct {
	// Memory is such as "64MiB", at most 256 MiB.
	Memory string `json:"memory"`
	// CPU is such as "100ms", at most 10 s.
	CPU string `json:"cpu"`
}

// Plugin says what the plugin is.
func Plugin(manifest Manifest) {
	if manifest.Limits.Memory == "" {
		manifest.Limits.Memory = "64MiB"
	}
	if manifest.Limits.CPU == "" {
		manifest.Limits.CPU = "100ms"
	}
	hooks.Describe = func() string {
		type plain Manifest
		described := struct {
			plain
			Transforms bool `json:"transforms"`
		}{plain(manifest), !manifest.NeverTransforms}
		text, err := json.Marshal(described)
		if err != nil {
			return "the manifest cannot be JSON: " + err.Error()
		}
		return string(text)
	}
}

// Configure registers the function that takes the operator's configuration, decoded by encoding/json. It is called once, when the
// plugin is loaded: parse and compile here. An error is shown to the operator, and the plugin is not loaded.
func Configure[T any](configure func(config T) error) {
	hooks.Configure = func(text string) (string, error) {
		var config T
		if err := json.Unmarshal([]byte(text), &config); err != nil {
			return "", err
		}
		return "", configure(config)
	}
}

// Collect runs the collector if much was allocated since it ran last. It cannot run by itself: it would call the gateway while the
// gateway passes values, which is a trap. It is called at the end of every eighth phase, and of those with large bodies; call it in
// a phase that allocates megabytes.
func Collect() { hooks.Collect() }
