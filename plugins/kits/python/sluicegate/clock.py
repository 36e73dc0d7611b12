"""Time, as the gateway has it; Python's own `time` and `datetime` work as well."""

from ._host import clock as _clock


def unix_ms():
    """Milliseconds since 1970."""
    return _clock.unix_ms()


def monotonic_us():
    """Microseconds since an arbitrary moment; never goes back."""
    return _clock.monotonic_us()
