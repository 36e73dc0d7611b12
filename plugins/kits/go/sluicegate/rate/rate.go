// <import-rate>
// Package rate has limits that all exchanges share.
package rate

import (
	"time"

	"sluicegate/internal/capability"
	raw "sluicegate/internal/wit/sluicegate_plugin_rate"
	witTypes "sluicegate/internal/wit/types"
)

// A Limit is how much of something one subject may use.
type Limit struct {
	// Name is which limit it is, Subject who is limited.
	Name, Subject string
	// Amount is how many units are to be taken of Capacity.
	Amount, Capacity uint64
	// Per is the period in which the capacity comes back; 0 for units that are held, Day and Month for those that come back
	// all at once at the end of the day or the month in UTC.
	Per time.Duration
}

// Periods that end with the calendar in UTC.
const (
	Day   time.Duration = -1
	Month time.Duration = -2
)

// A Standing is how a limit is after a call.
type Standing struct {
	Granted   bool
	Remaining int64
	// Retry is when the amount would be granted, Reset when all units are back; below 0 if that is not known.
	Retry, Reset time.Duration
}

// A Verdict says whether the amounts were taken.
type Verdict struct {
	Granted bool
	// Ticket names a reservation for Settle.
	Ticket    uint64
	Standings []Standing
}

func limitsOut(limits []Limit) []raw.Limit {
	out := make([]raw.Limit, len(limits))
	for i, it := range limits {
		out[i] = raw.Limit{Name: it.Name, Subject: it.Subject, Amount: it.Amount, Capacity: it.Capacity,
			Period: period(it.Per)}
	}
	return out
}

func period(per time.Duration) raw.Period {
	switch {
	case per == Day:
		return raw.MakePeriodDay()
	case per == Month:
		return raw.MakePeriodMonth()
	case per <= 0:
		return raw.MakePeriodHeld()
	default:
		return raw.MakePeriodRolling(uint64(max(per.Milliseconds(), 1)))
	}
}

func wait(millis witTypes.Option[uint64]) time.Duration {
	if millis.IsNone() {
		return -1
	}
	return time.Duration(millis.Some()) * time.Millisecond
}

func verdictIn(result witTypes.Result[raw.Verdict, uint8]) (Verdict, error) {
	from, err := capability.Of(result)
	if err != nil {
		return Verdict{}, err
	}
	verdict := Verdict{Granted: from.Granted, Ticket: from.Ticket}
	for _, it := range from.Standings {
		verdict.Standings = append(verdict.Standings, Standing{it.Granted, it.Remaining, wait(it.RetryMs), wait(it.ResetMs)})
	}
	return verdict, nil
}

// Take takes the amounts for good, of all limits or of none.
func Take(limits ...Limit) (Verdict, error) { return verdictIn(take(limitsOut(limits))) }

// Reserve takes the amounts for this exchange. What is not settled at its end comes back.
func Reserve(limits ...Limit) (Verdict, error) { return verdictIn(reserve(limitsOut(limits))) }

// Settle says how much of the limits of this name was used in a reservation.
func Settle(ticket uint64, name string, used uint64) error {
	return capability.Done(settle(ticket, name, used))
}

// </import-rate>
