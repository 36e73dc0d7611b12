"""For adapters: the model server of this attempt."""

import json as _json

from ._host import upstream_info as _info


def upstream():
    """The upstream's name in the configuration."""
    return _info.upstream()


def target():
    """The target's address as configured."""
    return _info.target()


def json(pointer):
    """The value at a JSON Pointer in what the model server says about itself; `None` if there is nothing."""
    text = _info.json(pointer)
    return None if text is None else _json.loads(text)
