# <import-rate>
"""Limits that all exchanges share. A call takes all of its limits or none."""

from wit_world.imports import rate as _rate

from .capability import attempt as _attempt


def limit(name, subject, *, capacity, per_ms=0, per=None, amount=1):
    """A limit: `amount` of `capacity` units, which come back within `per_ms` milliseconds or, with 0, when they are settled; or
    all at once at the end of the day or the month in UTC, if `per` is "day" or "month"."""
    return _rate.Limit(name, subject, amount, capacity, _period(per_ms, per))


def _period(per_ms, per):
    if per is None:
        return _rate.Period_Rolling(per_ms) if per_ms else _rate.Period_Held()
    if per_ms or per not in ("day", "month"):
        raise ValueError('rate.limit takes per_ms, or per="day" or "month"')
    return _rate.Period_Day() if per == "day" else _rate.Period_Month()


def take(*limits):
    """Takes the amounts for good. The verdict has `granted` and, for each limit, a standing."""
    return _attempt("rate.take", _rate.take, list(limits))


def reserve(*limits):
    """Takes the amounts for this exchange: what is not settled at its end is given back. The verdict has a `ticket`."""
    return _attempt("rate.reserve", _rate.reserve, list(limits))


def settle(ticket, name, used):
    """Says how much of the limits of this name was used."""
    _attempt("rate.settle", _rate.settle, ticket, name, used)
# </import-rate>
