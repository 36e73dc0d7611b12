// <events>
// Package export_sluicegate_plugin_events calls what the author has registered.
package export_sluicegate_plugin_events

import (
	"sluicegate/internal/hooks"
	types "sluicegate/internal/wit/sluicegate_plugin_types"
	witTypes "sluicegate/internal/wit/types"
)

func in(events []types.Event) []hooks.Event {
	in := make([]hooks.Event, len(events))
	for i, event := range events {
		in[i] = hooks.Event{Name: event.Name, Data: event.Data}
		if event.Id.IsSome() {
			id := event.Id.Some()
			in[i].ID = &id
		}
	}
	return in
}

func out(events []hooks.Event) []types.Event {
	out := make([]types.Event, len(events))
	for i, event := range events {
		out[i] = types.Event{Name: event.Name, Data: event.Data, Id: witTypes.None[string]()}
		if event.ID != nil {
			out[i].Id = witTypes.Some(*event.ID)
		}
	}
	return out
}

func size(events []types.Event) int {
	size := 0
	for i := range events {
		size += len(events[i].Data)
	}
	return size
}

func Batch(events []types.Event) witTypes.Result[witTypes.Option[[]types.Event], types.Fault] {
	defer hooks.Called(size(events))
	batch, err := hooks.Batch(in(events))
	if batch == nil {
		return hooks.Faulted(witTypes.None[[]types.Event](), err)
	}
	return hooks.Faulted(witTypes.Some(out(batch)), err)
}

func End() witTypes.Result[[]types.Event, types.Fault] {
	defer hooks.Called(0)
	last, err := hooks.End()
	return hooks.Faulted(out(last), err)
}

// </events>
