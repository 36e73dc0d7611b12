"""Faults and replies: what ends an exchange before its time. Both are raised."""

import json


class Fault(Exception):
    """Why a stage refuses or fails an exchange.

    `status` is 400 to 599, `code` a stable word for programs, `message` a sentence for the person behind the client, `param` the
    request parameter that caused it, `fields` header fields of the error response.
    """

    def __init__(self, status, code, message, *, param=None, fields=None):
        if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:
            raise TypeError(f"the status of a fault is 400 to 599, not {status!r}")
        if not isinstance(code, str) or not code:
            raise TypeError(f'the code of a fault is a word such as "invalid_request", not {code!r}')
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = str(message)
        self.param = param
        self.fields = pairs(fields)


class Reply(Exception):
    """A stage's own response, in `gate`, `request` and `response`: a status of 200 or more, a body, header fields.

    `reason` is a label for logs, such as `cache.hit`.
    """

    def __init__(self, status, body=b"", *, fields=None, reason="reply"):
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
            raise TypeError(f"the status of a reply is 200 to 599, not {status!r}")
        super().__init__(reason)
        self.status = status
        self.body = to_bytes(body) or b""
        self.fields = pairs(fields)
        self.reason = reason


def pairs(fields):
    """Header fields as pairs of a name and bytes, from a dictionary or from pairs."""
    items = fields.items() if isinstance(fields, dict) else fields or []
    return [(str(name).lower(), field_value(value)) for name, value in items]


def field_value(value):
    """The bytes of the value of a header field."""
    return bytes(value) if isinstance(value, (bytes, bytearray)) else str(value).encode()


def to_bytes(body):
    """The bytes of what a phase returns as a body: bytes, a text, or a value that is sent as JSON."""
    if body is None or type(body) is bytes:
        return body
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    if isinstance(body, (dict, list)):
        return dump(body).encode()
    raise TypeError(f"a body is bytes, a text, or a dictionary that is sent as JSON, not {type(body).__name__}")


def dump(value):
    """JSON as the other side writes it: without blanks. Half of a surrogate pair stays escaped: it has no UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text
