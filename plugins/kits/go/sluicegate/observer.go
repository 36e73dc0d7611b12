// <observer>
package sluicegate

import "sluicegate/internal/hooks"

// A Summary is what is known about an exchange that is over.
type Summary = hooks.Summary

// Observer registers what happens with exchanges that are over, in the order in which they ended, off the path of traffic.
func Observer(observe func(batch []Summary)) { hooks.Observe = observe }

// </observer>
