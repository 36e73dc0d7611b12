"""A body as a phase is given it."""

import json

from .stop import Fault


class Body(bytes):
    """The bytes of a body, and what is in them."""

    #: The status and the code of the fault of `json()`. A body of a client is the client's mistake.
    refusal = (400, "invalid_request")

    def text(self):
        """The body as a text; what is not UTF-8 becomes U+FFFD."""
        return self.decode("utf-8", "replace")

    def json(self):
        """The value of a body in JSON. Raises a fault if it is none."""
        try:
            return json.loads(self)
        except (ValueError, RecursionError) as error:
            status, code = self.refusal
            raise Fault(status, code, f"the body is not JSON: {error}") from None

    def object(self):
        """The dictionary in the body; `None` if the body is not a JSON object."""
        try:
            value = json.loads(self)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


class ResponseBody(Body):
    """A body of the model server, or of an inner stage."""

    refusal = (502, "upstream_invalid")
