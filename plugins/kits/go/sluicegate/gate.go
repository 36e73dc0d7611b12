// <gate>
package sluicegate

import "sluicegate/internal/hooks"

// Gate registers the decision on a request: called once, when its head is complete and before its body is read.
func Gate(check func() error) { hooks.Check = check }

// </gate>
