# <import-rate>
"""Limits that all exchanges share. A call takes all of its limits or none."""

from wit_world.imports import rate as _rate

from .capability import attempt as _attempt


def limit(name, subject, *, capacity, per_ms=0, amount=1):
    """A limit: `amount` of `capacity` units, which come back within `per_ms` milliseconds or, with 0, when they are settled."""
    return _rate.Limit(name, subject, amount, capacity, per_ms)


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
