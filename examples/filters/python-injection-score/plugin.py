"""A score for how much a request looks like prompt injection, and a refusal from a threshold on. The signs are in heuristics.py."""

import json
import pathlib

from heuristics import Heuristics
from sluicegate import Fault, exchange, log, messages, texts

manifest = {
    "version": "0.1.0",
    "summary": "Scores requests by signs of prompt injection, and refuses them from a threshold on",
    # Read when the component is built: it has no files.
    "config": json.loads(pathlib.Path(__file__).with_name("config.schema.json").read_text()),
    "transforms": False,
    "limits": {"memory": "96MiB", "cpu": "1s"},
}


class Plugin:
    def __init__(self, config):
        self.threshold = config.get("threshold", 0.8)
        self.refuses = config.get("action", "refuse") == "refuse"
        self.status = config.get("status", 403)
        self.roles = set(config.get("roles", ["user", "tool"]))
        self.heuristics = Heuristics(config.get("weights"), config.get("patterns", []), config.get("max-chars", 20_000))

    def request_head(self):
        # The gateway reads the body; this plugin asks for the places that it needs, and never changes any.
        return "look" if exchange.method() == "POST" else "skip"

    def request_body(self, body):
        found, place = set(), None
        for name, text in self.pieces():
            signals = self.heuristics.signals(text)
            # The place of the first text with a sign is what the client is told.
            place = place or (name if signals else None)
            found |= signals
        score = self.heuristics.score(found)
        exchange.set_note("injection-score", score)
        if not found:
            return
        exchange.set_note("injection-signals", sorted(found))
        log.info("signs of prompt injection", score=score, signals=sorted(found), place=place)
        if self.refuses and score >= self.threshold:
            message = "The request looks like an attempt to override the instructions of this service."
            raise Fault(self.status, "prompt_injection", message, param=place)

    def pieces(self):
        """The texts of a request with their places: those of a chat's messages, or a prompt."""
        chat = {"messages": exchange.request_json("/messages")}
        for number, message in enumerate(messages(chat)):
            if message.get("role") in self.roles:
                for text in texts(message):
                    yield f"messages[{number}]", text
        for name in ["prompt", "input"]:
            value = exchange.request_json(f"/{name}")
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield name, text
