"""The exchange of this instance, in Python's terms: texts for header fields, values for notes, and raised faults."""

import json

from ._host import Err
from ._host import exchange as _exchange
from .stop import Fault, dump, field_value


def _attempt(call, *values):
    try:
        call(*values)
    except Err as error:
        fault = error.value
        raise Fault(fault.status, fault.code, fault.message, param=fault.param) from None


def _text(value):
    return None if value is None else value.decode("utf-8", "replace")


def _value(text):
    return None if text is None else json.loads(text)


def id():
    """The request id."""
    return _exchange.id()


def received_ms():
    """When the exchange began: milliseconds since 1970."""
    return _exchange.received_ms()


def route():
    """The `path` of the route as configured."""
    return _exchange.route()


def client():
    """The client's address."""
    return _exchange.client()


def attempt():
    """The number of the attempt in an adapter, from 1."""
    return _exchange.attempt()


def method():
    """The request method in upper case."""
    return _exchange.method()


def set_method(method):
    """Sets the method, in request phases."""
    _attempt(_exchange.set_method, method)


def path():
    """The path for the model server, without the query."""
    return _exchange.path()


def set_path(path):
    """Sets the path, in request phases."""
    _attempt(_exchange.set_path, path)


def query():
    """The query without its `?`."""
    return _exchange.query()


def set_query(query):
    """Sets the query, in request phases; "" removes it."""
    _attempt(_exchange.set_query, query)


def set_upstream(name):
    """Sends the exchange to another configured upstream."""
    _attempt(_exchange.set_upstream, name)


def status():
    """The status of the response; 0 until there is one."""
    return _exchange.status()


def set_status(status):
    """Sets the status, in response phases."""
    _attempt(_exchange.set_status, status)


def fields():
    """The header fields of the current direction, as pairs of texts."""
    return [(field.name, _text(field.value)) for field in _exchange.fields()]


def get(name):
    """The value of the first header field of this name as a text, or `None`."""
    return _text(_exchange.get(name))


def get_bytes(name):
    """The value of the first header field of this name as bytes, or `None`."""
    return _exchange.get(name)


def set(name, value):
    """Replaces all header fields of this name by one."""
    _attempt(_exchange.set, name, field_value(value))


def append(name, value):
    """Adds a header field."""
    _attempt(_exchange.append, name, field_value(value))


def remove(name):
    """Removes all header fields of this name."""
    _attempt(_exchange.remove, name)


def set_response_field(name, value):
    """Sets a header field of the response, in any phase."""
    _attempt(_exchange.set_response_field, name, field_value(value))


def request_field(name):
    """The value of the first request header field of this name, in every phase."""
    return _text(_exchange.request_field(name))


def request_json(pointer):
    """The value at a JSON Pointer in the request's body, up to `response_head`; `None` if there is nothing."""
    return _value(_exchange.request_json(pointer))


def request_bytes():
    """The size of the request's body."""
    return _exchange.request_bytes()


def note(name):
    """A note, which stages and observers share; `None` if there is none."""
    return _value(_exchange.note(name))


def set_note(name, value):
    """Sets a note: any value that JSON has."""
    _attempt(_exchange.set_note, name, dump(value))


def end_body():
    """Ends the body with the events that this call of `events_batch` returns."""
    _attempt(_exchange.end_body)
