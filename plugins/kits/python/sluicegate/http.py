# <import-http>
"""Requests to servers that the grant lists."""

from wit_world.imports import http as _http
from wit_world.imports import types as _types

from .body import ResponseBody as _ResponseBody
from .capability import attempt as _attempt
from .stop import pairs as _pairs
from .stop import to_bytes as _to_bytes


class Response:
    """A response: `status`, `fields` as pairs of texts, and a `body` with `text()` and `json()`."""

    def __init__(self, raw):
        self.status = raw.status
        self.fields = [(field.name, field.value.decode("utf-8", "replace")) for field in raw.fields]
        self.body = _ResponseBody(raw.body)

    def get(self, name):
        """The value of the first header field of this name, or `None`."""
        return next((value for each, value in self.fields if each == name.lower()), None)


def send(url, *, method="GET", fields=None, body=b"", timeout_ms=0):
    """Sends a request and waits for the whole response, at most 30,000 ms. Any status is a response."""
    raw_fields = [_types.Field(name, value) for name, value in _pairs(fields)]
    request = _http.Request(method, url, raw_fields, _to_bytes(body) or b"", timeout_ms)
    return Response(_attempt("http.send", _http.send, request))
# </import-http>
