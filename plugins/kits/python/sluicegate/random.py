"""Randomness of the gateway. Python's own `random` is seeded from it anew in each exchange; `secrets` and `os.urandom` ask it."""

from ._host import random as _random


def bytes(count):
    """Random bytes, at most 4096."""
    return _random.bytes(count)
