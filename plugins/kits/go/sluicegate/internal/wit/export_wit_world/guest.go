// Package export_wit_world calls what the author has registered.
package export_wit_world

import (
	"sluicegate/internal/hooks"
	witTypes "sluicegate/internal/wit/types"
)

func Describe() string { return hooks.Describe() }

func Configure(config string) witTypes.Result[string, string] {
	defer hooks.Collect()
	message, err := hooks.Configure(config)
	if err != nil {
		return witTypes.Err[string](err.Error())
	}
	return witTypes.Ok[string, string](message)
}
