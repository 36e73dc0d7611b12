# <import-kv>
"""Values by key, which outlive an exchange."""

import json as _json

from wit_world.imports import kv as _kv

from .capability import attempt as _attempt
from .stop import to_bytes as _to_bytes


def get(key):
    """The value of this key as bytes; `None` if there is none, or its time is over."""
    return _attempt("kv.get", _kv.get, key)


def get_text(key):
    """The value as a text."""
    value = get(key)
    return None if value is None else value.decode("utf-8", "replace")


def get_json(key):
    """The value, read as JSON."""
    value = get(key)
    return None if value is None else _json.loads(value)


def set(key, value, *, ttl_ms=None):
    """Sets a value: bytes, a text, or a dictionary as JSON. Without `ttl_ms` it lives until it is deleted."""
    _attempt("kv.set", _kv.set, key, _to_bytes(value), ttl_ms)


def insert(key, value, *, ttl_ms=None):
    """Sets a value only if there is none: then `True`."""
    return _attempt("kv.insert", _kv.insert, key, _to_bytes(value), ttl_ms)


def add(key, by=1, *, ttl_ms=None):
    """Adds to a number, and returns the sum."""
    return _attempt("kv.add", _kv.add, key, by, ttl_ms)


def delete(key):
    """Removes the key. It is not an error if there is none."""
    _attempt("kv.delete", _kv.delete, key)
# </import-kv>
