"""Randomness of the gateway. Python's own `random` is seeded when the plugin is built: it repeats itself in each exchange."""

from ._host import random as _random


def bytes(count):
    """Random bytes, at most 4096."""
    return _random.bytes(count)
