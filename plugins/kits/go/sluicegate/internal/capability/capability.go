// <imports>
// Package capability has what the packages of all capabilities share.
package capability

import (
	witTypes "sluicegate/internal/wit/types"
)

// An Error says why a capability did nothing. Compare by errors.Is.
type Error uint8

const (
	// Denied: the operator has not granted it. Natively, in tests, everything is denied.
	Denied Error = iota
	// Unavailable: it cannot be had now.
	Unavailable
	// OverLimit: a bound is reached.
	OverLimit
	// Invalid: an argument is not legal.
	Invalid
)

func (e Error) Error() string {
	return [...]string{"denied", "unavailable", "over limit", "invalid"}[min(e, Invalid)]
}

// Of makes a value and an error of the contract's result.
func Of[T any](result witTypes.Result[T, uint8]) (T, error) {
	if result.IsErr() {
		var none T
		return none, Error(result.Err())
	}
	return result.Ok(), nil
}

// Done makes an error of the contract's result.
func Done(result witTypes.Result[witTypes.Unit, uint8]) error {
	_, err := Of(result)
	return err
}

// Denied1 stands for a function of one argument where there is no gateway, Denied3 for one of three.
func Denied1[A, T any](A) witTypes.Result[T, uint8] { return witTypes.Err[T](uint8(Denied)) }

func Denied3[A, B, C, T any](A, B, C) witTypes.Result[T, uint8] {
	return witTypes.Err[T](uint8(Denied))
}

// </imports>
