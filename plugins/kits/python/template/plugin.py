"""{{name}}: an example rule for each phase in which the plugin takes part. Change it to your own.

`configure` runs once, when the gateway loads the plugin. Every exchange then gets its own instance, made from the memory as
`configure` left it: variables of this module are not shared with other exchanges.
"""

# <gate|request|response|events>
import json
import pathlib

# </gate|request|response|events>
# <gate|response|chunks|events|closing|observer>
from sluicegate import (
    # <gate>
    Fault,
    # </gate>
    # <response|events>
    choices,
    # </response|events>
    # <gate|response|chunks|closing>
    exchange,
    # </gate|response|chunks|closing>
    # <closing|observer>
    log,
    # </closing|observer>
    # <events>
    map_chunks,
    # </events>
)

# </gate|response|chunks|events|closing|observer>
manifest = {
    "version": "0.1.0",
    "summary": "An example",
    # <gate|request|response|events>
    # Read when the component is built: it has no files.
    "config": json.loads(pathlib.Path(__file__).with_name("config.schema.json").read_text()),
    # </gate|request|response|events>
    "limits": {"memory": "64MiB", "cpu": "500ms"},
}
# <gate|request|response|events>

#: What the operator writes. The gateway has checked it against the schema.
config = {}


def configure(given):
    config.update(given)
# </gate|request|response|events>
# <gate>


def gate_check():
    """Refuses requests without the header field, before anything of their body is read."""
    if exchange.get(config["header"]) is None:
        raise Fault(401, "missing_header", f"send the header field {config['header']}")
# </gate>
# <request>


def request_body(body):
    """Sets the model. A body for which `None` is returned stays as it is."""
    chat = body.object()
    if chat is None or "model" not in chat:
        return None
    chat["model"] = config["model"]
    return chat
# </request>
# <response>


def response_head():
    """Says how the body is to be seen, by its form. Errors come here, too: `exchange.status()` tells them apart."""
    exchange.set("x-plugin", "{{name}}")
    form = exchange.get("content-type") or ""
    if form.startswith("application/json"):
        return "whole"
    # <events>
    if form.startswith("text/event-stream"):
        return "sse"
    # </events>
    # <chunks>
    return "chunks"
    # </chunks>
    # <!chunks>
    return "skip"
    # </!chunks>


def response_body(body):
    """Replaces the word in a whole response."""
    whole = body.object()
    if whole is None:
        return None
    for choice in choices(whole):
        replace(choice.get("message"))
    return whole
# </response>
# <chunks>


seen = 0


def chunks_chunk(chunk, last):
    """Counts the bytes of other responses as they arrive, and says how many there were."""
    global seen
    seen += len(chunk)
    if last:
        exchange.set_note("bytes", seen)
# </chunks>
# <events>


def events_batch(events):
    """Replaces the word in the events of a stream.

    A model may send a word in two events: hold the end of a text back if that matters.
    """

    def change(chunk):
        for choice in choices(chunk):
            replace(choice.get("delta"))
        return chunk

    return map_chunks(events, change)
# </events>
# <response|events>


def replace(message):
    """Replaces the word in the text of a message, or of a part of one."""
    if isinstance(message, dict) and isinstance(message.get("content"), str):
        message["content"] = message["content"].replace(config["word"], config["by"])
# </response|events>
# <closing>


def closing_closed(error):
    """The exchange is over, however it ended."""
    log.info("an exchange is over", status=exchange.status(), failure=error)
# </closing>
# <observer>


def observer_observe(batch):
    """Exchanges that are over, off the path of traffic."""
    for summary in batch:
        milliseconds = summary.duration_us // 1000
        log.info("an exchange was observed", id=summary.id, status=summary.status, milliseconds=milliseconds)
# </observer>
