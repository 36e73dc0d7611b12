"""What the gateway offers, as componentize-py generates it for the plugin's world."""

from componentize_py_types import Err
from wit_world.imports import clock, exchange, log, random, types, upstream_info

__all__ = ["Err", "clock", "exchange", "log", "random", "types", "upstream_info"]
