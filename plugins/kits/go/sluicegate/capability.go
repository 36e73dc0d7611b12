// <imports>
package sluicegate

import "sluicegate/internal/capability"

// What the functions of the packages kv, rate, http and metrics fail with.
const (
	// ErrDenied: the operator has not granted it. Natively, in tests, everything is denied.
	ErrDenied = capability.Denied
	// ErrUnavailable: it cannot be had now. Try again later.
	ErrUnavailable = capability.Unavailable
	// ErrOverLimit: a bound is reached.
	ErrOverLimit = capability.OverLimit
	// ErrInvalid: an argument is not legal.
	ErrInvalid = capability.Invalid
)

// </imports>
