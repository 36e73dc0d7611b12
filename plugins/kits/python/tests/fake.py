"""What componentize-py generates, as far as the kit needs it, outside of a component. Importing this makes `sluicegate` importable."""

import dataclasses
import enum
import pathlib
import sys
import types as modules


def module(name, **members):
    made = modules.ModuleType(name)
    vars(made).update(members)
    sys.modules[name] = made
    return made


@dataclasses.dataclass(frozen=True)
class Err(Exception):
    value: object


def record(name, *fields):
    return dataclasses.make_dataclass(name, fields)


class Level(enum.Enum):
    TRACE, DEBUG, INFO, WARN, ERROR = range(5)


RequestPlan = enum.Enum("Plan", "SKIP LOOK WHOLE")
ResponsePlan = enum.Enum("Plan", "SKIP WHOLE CHUNKS SSE NDJSON DOCUMENT")

types = module(
    "wit_world.imports.types",
    Event=record("Event", "name", "data", "id"),
    Fault=record("Fault", "status", "code", "message", "param", "fields"),
    Field=record("Field", "name", "value"),
    Reply=record("Reply", "status", "fields", "body", "reason"),
    Stop_Fault=record("Stop_Fault", "value"),
    Stop_Reply=record("Stop_Reply", "value"),
)

#: The lines that were written, the notes and the header fields of the exchange.
lines, notes, fields = [], {}, {}


def set_path(path):
    if not path.startswith("/"):
        raise Err(types.Fault(500, "illegal_change", "no path", None, None))


exchange = module(
    "wit_world.imports.exchange",
    get=fields.get,
    set=fields.__setitem__,
    note=notes.get,
    set_note=notes.__setitem__,
    set_path=set_path,
    fields=lambda: [types.Field(name, value) for name, value in fields.items()],
)
log = module("wit_world.imports.log", Level=Level, write=lambda *line: lines.append(line))
capability_error = enum.Enum("Error", "DENIED UNAVAILABLE OVER_LIMIT INVALID")
#: What was asked of capabilities.
asked = []


def ask(*values):
    if values[0] == "denied":
        raise Err(capability_error.OVER_LIMIT)
    asked.append(values)


kv = module("wit_world.imports.kv", get=lambda key: ask(key) or b'{"a":1}', set=ask, insert=ask, add=ask, delete=ask)
rate = module(
    "wit_world.imports.rate",
    Limit=record("Limit", "name", "subject", "amount", "capacity", "period"),
    Period_Held=record("Period_Held"),
    Period_Rolling=record("Period_Rolling", "value"),
    Period_Day=record("Period_Day"),
    Period_Month=record("Period_Month"),
    take=ask,
    settle=ask,
)
http = module(
    "wit_world.imports.http",
    Request=record("Request", "method", "url", "fields", "body", "timeout_ms"),
    send=lambda request: ask(request) or record("Response", "status", "fields", "body")(404, [types.Field("x-a", b"b")], b"{}"),
)
metrics = module("wit_world.imports.metrics", count=ask, observe=ask)
others = {name: module(f"wit_world.imports.{name}") for name in ["clock", "random", "upstream_info"]}
module("componentize_py_types", Err=Err)
module("wit_world")
capabilities = {"kv": kv, "rate": rate, "http": http, "metrics": metrics}
module("wit_world.imports", types=types, exchange=exchange, log=log, **capabilities, **others)
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
