"""Chats in OpenAI's form: requests, responses, and the chunks of a stream.

All of it is what `json.loads` makes: members that are not known here stay where they are.
"""

import json

from ._host import types
from .stop import dump


def event(data, name="", id=None):
    """An event whose data is this text, or this value as JSON."""
    return types.Event(name, data if isinstance(data, str) else dump(data), id)


def chunk_of(event):
    """The dictionary in the data of an event; `None` for `[DONE]` and whatever else is not a JSON object."""
    if not event.data.lstrip().startswith("{"):
        return None
    try:
        return json.loads(event.data)
    except (ValueError, RecursionError):
        return None


def map_chunks(events, change):
    """Calls `change` with each chunk of a batch. The chunk that it returns takes the place of the first.

    `None` leaves the event as it came, a list stands for any number of chunks. Events without a chunk stay. The result is `None` if
    nothing has changed: then the gateway forwards the bytes that came.
    """
    changed = False
    result = []
    for original in events:
        chunk = chunk_of(original)
        after = None if chunk is None else change(chunk)
        if after is None:
            result.append(original)
            continue
        changed = True
        for value in after if isinstance(after, list) else [after]:
            result.append(types.Event(original.name, dump(value), original.id))
    return result if changed else None


def choices(chunk):
    """The choices of a chunk or of a response; none if it has none, as an error or a last chunk with the usage."""
    return _dictionaries(chunk.get("choices"))


def messages(chat):
    """The messages of a request; none if it has none."""
    return _dictionaries(chat.get("messages"))


def texts(message):
    """The texts of a message: its content, or the parts of its content that are text."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in _parts(content)]


def map_texts(message, change):
    """Replaces each text of a message by what `change` makes of it. The result says whether one has changed."""
    before = texts(message)
    if isinstance(message.get("content"), str):
        message["content"] = change(message["content"])
    else:
        for part in _parts(message.get("content")):
            part["text"] = change(part["text"])
    return texts(message) != before


def _parts(content):
    return [part for part in _dictionaries(content) if isinstance(part.get("text"), str)]


def _dictionaries(values):
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
