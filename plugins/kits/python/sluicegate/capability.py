"""What the functions of `kv`, `rate`, `http` and `metrics` have in common: those that plugin.toml lists in `imports`."""

from componentize_py_types import Err


class CapabilityError(Exception):
    """Why a capability did not do what was asked: `code` is "denied", "unavailable", "over-limit" or "invalid"."""

    def __init__(self, call, code):
        super().__init__(f"{call}: {code}")
        self.code = code


def attempt(call, run, *values):
    """Calls a function of the gateway. Its error is raised."""
    try:
        return run(*values)
    except Err as error:
        raise CapabilityError(call, error.value.name.lower().replace("_", "-")) from None
