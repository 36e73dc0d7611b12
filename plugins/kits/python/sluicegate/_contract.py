"""Between the author's module and the contract: the classes that componentize-py looks for.

An author writes only what a filter needs, returns texts or dictionaries where the contract has bytes, and raises.
"""

import json
import os
import sys

from . import log
from ._host import Err, types
from .body import Body, ResponseBody
from .stop import Fault, Reply, dump, to_bytes
from .trace import keep_sources, trace

#: The interfaces of the contract and their functions, as authors name them.
INTERFACES = {
    "gate": ["gate_check"],
    "request": ["request_head", "request_body"],
    "response": ["response_head", "response_body"],
    "chunks": ["chunks_chunk"],
    "events": ["events_batch", "events_end"],
    "closing": ["closing_closed"],
    "observer": ["observer_observe"],
}

#: What an interface cannot do without.
REQUIRED = ["gate_check", "chunks_chunk", "events_batch", "closing_closed", "observer_observe"]


class Filter:
    """An author's module, or the one class in it, seen through the contract."""

    def __init__(self, module, name, exports):
        self.module = module
        self.name = name
        self.owner = getattr(module, "Plugin", module)
        self.is_new = True
        self.check(exports)

    def check(self, exports):
        """Compares what the author has written with what plugin.toml lists. An error fails the build."""
        for interface, functions in INTERFACES.items():
            for function in functions:
                there = hasattr(self.owner, function)
                if there and interface not in exports:
                    raise ImportError(f"plugin.py has `{function}`, but plugin.toml does not list `{interface}` in `exports`")
                if not there and interface in exports and function in REQUIRED:
                    raise ImportError(f"plugin.toml lists the export `{interface}`: write a function `{function}` in plugin.py")
                if there and not callable(getattr(self.owner, function)):
                    raise ImportError(f"`{function}` in plugin.py has to be a function")

    def has(self, function):
        """Whether the author has written this function."""
        return hasattr(self.owner, function)

    def call(self, function, *values):
        """Calls a function of the author; `None` if there is none."""
        if self.is_new and "random" in sys.modules:
            # Python's generator was seeded when the component was built: each exchange would see the same numbers.
            sys.modules["random"].seed(os.urandom(32))
        self.is_new = False
        written = getattr(self.owner, function, None)
        return None if written is None else written(*values)

    def describe(self):
        """The manifest."""
        manifest = getattr(self.module, "manifest", None) or getattr(self.owner, "manifest", {})
        return dump({"name": self.name, "version": "0.1.0", "summary": ""} | manifest)

    def configure(self, text):
        """Configures the filter. A `ValueError` is for the operator: its message. The traceback of others helps the author."""
        try:
            config = json.loads(text)
            if isinstance(self.owner, type):
                self.owner = _made(self.owner, config)
                return ""
            line = str(self.call("configure", config) or "")
            self.is_new = True
            return line
        except (ValueError, Fault) as error:
            raise Err(str(error)) from None
        except Exception as error:
            raise Err(trace(error)) from None

    def stopping(self, phase, run):
        """Runs a phase that may end with a fault or a reply."""
        try:
            return run()
        except Fault as fault:
            raise Err(types.Stop_Fault(_raw_fault(fault))) from None
        except Reply as reply:
            fields = [types.Field(name, value) for name, value in reply.fields]
            raise Err(types.Stop_Reply(types.Reply(reply.status, fields, reply.body, reply.reason))) from None
        except Exception as error:
            log.error(f"uncaught in {phase}: {trace(error)}")
            raise

    def failing(self, phase, run):
        """Runs a phase that may end with a fault."""
        try:
            return run()
        except Fault as fault:
            raise Err(_raw_fault(fault)) from None
        except Reply:
            log.error(f"{phase} raised a reply, but the response has begun: only a fault can be raised here")
            raise
        except Exception as error:
            log.error(f"uncaught in {phase}: {trace(error)}")
            raise

    def running(self, phase, run):
        """Runs a phase that cannot fail."""
        try:
            run()
        except Exception as error:
            log.error(f"uncaught in {phase}: {trace(error)}")
            raise


def classes(module, name, exports, plans):
    """The classes that componentize-py looks for, by name. `plans` has the enums `request` and `response`."""
    filter = Filter(module, name, exports)
    keep_sources(module)
    sys.stdout, sys.stderr = log.Lines(log.info), log.Lines(log.warn)

    class WitWorld:
        def describe(self):
            return filter.describe()

        def configure(self, config):
            return filter.configure(config)

    class Gate:
        def check(self):
            filter.stopping("gate_check", lambda: filter.call("gate_check"))

    class Request:
        def head(self):
            default = "whole" if filter.has("request_body") else "skip"
            head = lambda: _plan(plans["request"], filter.call("request_head") or default)
            return filter.stopping("request_head", head)

        def body(self, body):
            return filter.stopping("request_body", lambda: to_bytes(filter.call("request_body", Body(body))))

    class Response:
        def head(self):
            default = "whole" if filter.has("response_body") else _streamed(exports)
            head = lambda: _plan(plans["response"], filter.call("response_head") or default)
            return filter.stopping("response_head", head)

        def body(self, body):
            return filter.stopping("response_body", lambda: to_bytes(filter.call("response_body", ResponseBody(body))))

    class Chunks:
        def chunk(self, bytes, last):
            return filter.failing("chunks_chunk", lambda: to_bytes(filter.call("chunks_chunk", bytes, last)))

    class Events:
        def batch(self, events):
            return filter.failing("events_batch", lambda: filter.call("events_batch", events))

        def end(self):
            return filter.failing("events_end", lambda: filter.call("events_end") or [])

    class Closing:
        def closed(self, error):
            filter.running("closing_closed", lambda: filter.call("closing_closed", error))

    class Observer:
        def observe(self, batch):
            for summary in batch:
                summary.facts = {name: json.loads(text) for name, text in summary.facts}
            filter.running("observer_observe", lambda: filter.call("observer_observe", batch))

    made = [WitWorld, Gate, Request, Response, Chunks, Events, Closing, Observer]
    return {each.__name__: each for each in made}


def _made(owner, config):
    """An author's class may do without a constructor, if it has no configuration."""
    return owner() if owner.__init__ is object.__init__ else owner(config)


def _streamed(exports):
    """The plan of a response without a body in one call."""
    return "sse" if "events" in exports else "chunks" if "chunks" in exports else "skip"


def _plan(plans, name):
    try:
        return plans[name.upper()]
    except (KeyError, AttributeError):
        names = ", ".join(f'"{plan.name.lower()}"' for plan in plans)
        raise TypeError(f"a plan is one of {names}, not {name!r}") from None


def _raw_fault(fault):
    fields = [types.Field(name, value) for name, value in fault.fields]
    return types.Fault(fault.status, fault.code, fault.message, fault.param, fields or None)
