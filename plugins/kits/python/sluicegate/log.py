"""Lines in the gateway's log: `log.info("a line", key="value")`."""

import io

from ._host import log as _log
from .stop import dump


def _writer(level):
    def write(message, /, **fields):
        _log.write(level, str(message), dump(fields) if fields else "")

    return write


trace = _writer(_log.Level.TRACE)
debug = _writer(_log.Level.DEBUG)
info = _writer(_log.Level.INFO)
warn = _writer(_log.Level.WARN)
error = _writer(_log.Level.ERROR)


class Lines(io.TextIOBase):
    """What `print` writes, as lines of the log: as they are written, and not when some buffer is full."""

    def __init__(self, write):
        self._write = write
        self._begun = ""

    def writable(self):
        return True

    def write(self, text):
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._write(line)
        return len(text)
