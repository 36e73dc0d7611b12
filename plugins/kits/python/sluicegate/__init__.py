"""What a filter in Python imports: the exchange, the log, faults and replies, and helpers for chats.

A filter is the module `plugin.py`. It has a function for each function of the contract that it exports, such as `gate_check`,
`request_head`, `request_body`, `response_head`, `response_body`, `chunks_chunk`, `events_batch`, `events_end`, `closing_closed`
and `observer_observe`; beside them `manifest`, a dictionary, and `configure(config)`. Or it has all of these as methods of one
class `Plugin`, which is made with the configuration: `def __init__(self, config)`.
"""

from . import clock, exchange, log, random, upstream_info
# <import-kv>
from . import kv
# </import-kv>
# <import-rate>
from . import rate
# </import-rate>
# <import-http>
from . import http
# </import-http>
# <import-metrics>
from . import metrics
# </import-metrics>
from .body import Body
from .capability import CapabilityError
from .chat import choices, chunk_of, event, map_chunks, map_texts, messages, texts
from .stop import Fault, Reply

__all__ = [
    "Body",
    "CapabilityError",
    "Fault",
    "Reply",
    "choices",
    "chunk_of",
    "clock",
    "event",
    "exchange",
    "log",
    "map_chunks",
    "map_texts",
    "messages",
    "random",
    "texts",
    "upstream_info",
]
