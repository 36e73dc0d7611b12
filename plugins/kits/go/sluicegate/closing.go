// <closing>
package sluicegate

import "sluicegate/internal/hooks"

// Closing registers what happens at the end of an exchange, however it ended; failure is "" or a code such as "client_closed".
// Only notes can still be set.
func Closing(closed func(failure string)) { hooks.Closed = closed }

// </closing>
