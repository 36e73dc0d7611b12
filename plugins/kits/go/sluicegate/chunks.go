// <chunks>
package sluicegate

import "sluicegate/internal/hooks"

// Chunks registers what happens with bytes of a response, as they arrive. nil leaves them as they are, an empty slice sends none.
func Chunks(chunk func(bytes []byte, last bool) ([]byte, error)) { hooks.Chunk = chunk }

// </chunks>
