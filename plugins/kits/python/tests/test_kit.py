"""The kit outside of a component."""

import dataclasses
import json
import random
import sys
import types as modules
import unittest

import fake
from fake import Err

from sluicegate import CapabilityError, Fault, Reply, choices, chunk_of, event, exchange, log, map_chunks, map_texts, messages, texts
from sluicegate import _contract, http, kv, metrics, rate
from sluicegate.stop import dump, to_bytes

PLANS = {"request": fake.RequestPlan, "response": fake.ResponsePlan}


def filter_of(**written):
    """The classes of a filter with these functions."""
    module = modules.ModuleType("plugin")
    module.__file__ = __file__
    vars(module).update(written)
    owner = written.get("Plugin", module)
    exports = [name for name, functions in _contract.INTERFACES.items() if any(hasattr(owner, it) for it in functions)]
    streams = sys.stdout, sys.stderr
    try:
        return _contract.classes(module, "mine", exports, PLANS)
    finally:
        sys.stdout, sys.stderr = streams


def failing(error):
    def run(*_):
        raise error

    return run


class Kit(unittest.TestCase):
    def setUp(self):
        fake.lines.clear()
        fake.notes.clear()
        fake.fields.clear()

    def test_the_manifest_is_json_with_the_projects_name(self):
        made = filter_of(gate_check=lambda: None, manifest={"limits": {"cpu": "1s"}})
        expected = {"name": "mine", "version": "0.1.0", "summary": "", "limits": {"cpu": "1s"}}
        self.assertEqual(json.loads(made["WitWorld"]().describe()), expected)

    def test_a_configuration_is_a_value_and_a_value_error_is_its_message(self):
        def configure(config):
            if "bad" in config:
                raise ValueError("`bad` is wrong")
            return f"got {config['a']}"

        world = filter_of(gate_check=lambda: None, configure=configure)["WitWorld"]()
        self.assertEqual(world.configure('{"a":1}'), "got 1")
        with self.assertRaises(Err) as raised:
            world.configure('{"bad":1}')
        self.assertEqual(raised.exception.value, "`bad` is wrong")
        with self.assertRaises(Err) as raised:
            world.configure("{}")
        # A mistake in the code comes with its place and its line, without the kit's own.
        self.assertIn("KeyError: 'a'", raised.exception.value)
        self.assertIn("test_kit.py", raised.exception.value)
        self.assertIn("config['a']", raised.exception.value)
        self.assertNotIn("_contract.py", raised.exception.value)

    def test_each_exchange_has_random_numbers_of_its_own(self):
        random.seed(1)
        made = filter_of(gate_check=lambda: None)
        made["WitWorld"]().configure("{}")
        random.seed(1)
        first = random.random()
        random.seed(1)
        made["Gate"]().check()
        self.assertNotEqual(random.random(), first)
        # Only once: an author may seed it.
        random.seed(1)
        made["Gate"]().check()
        self.assertEqual(random.random(), first)

    def test_a_filter_may_be_one_class_that_is_made_with_its_configuration(self):
        class Plugin:
            manifest = {"summary": "s"}

            def __init__(self, config):
                self.header = config["header"]

            def gate_check(self):
                if exchange.get(self.header) is None:
                    raise Fault(401, "no_header", "no")

        made = filter_of(Plugin=Plugin)
        self.assertEqual(json.loads(made["WitWorld"]().describe())["summary"], "s")
        made["WitWorld"]().configure('{"header":"x-a"}')
        with self.assertRaises(Err):
            made["Gate"]().check()
        fake.fields["x-a"] = b"there"
        made["Gate"]().check()

    def test_a_raised_fault_is_the_contracts_fault(self):
        fault = Fault(403, "no", "not you", param="model", fields={"Retry-After": 3})
        with self.assertRaises(Err) as raised:
            filter_of(gate_check=failing(fault))["Gate"]().check()
        stop = raised.exception.value
        self.assertIsInstance(stop, fake.types.Stop_Fault)
        field = fake.types.Field("retry-after", b"3")
        self.assertEqual(stop.value, fake.types.Fault(403, "no", "not you", "model", [field]))
        with self.assertRaises(Err) as raised:
            filter_of(events_batch=failing(Fault(502, "a", "b")))["Events"]().batch([])
        self.assertEqual(raised.exception.value, fake.types.Fault(502, "a", "b", None, None))
        self.assertEqual(fake.lines, [])

    def test_a_raised_reply_may_have_a_text_bytes_or_a_dictionary(self):
        for body, expected in [({"a": "ü"}, '{"a":"ü"}'.encode()), ("a", b"a"), (b"b", b"b"), (None, b"")]:
            with self.assertRaises(Err) as raised:
                filter_of(request_body=failing(Reply(200, body, reason="cache.hit")))["Request"]().body(b"")
            self.assertEqual(raised.exception.value.value, fake.types.Reply(200, [], expected, "cache.hit"))

    def test_impossible_faults_and_replies_are_refused_where_they_are_made(self):
        for make in [lambda: Fault(200, "a", "b"), lambda: Fault(400, "", "b"), lambda: Fault("400", "a", "b"), lambda: Reply(100)]:
            with self.assertRaises(TypeError):
                make()

    def test_an_exception_that_is_not_meant_is_logged_with_its_traceback(self):
        with self.assertRaises(KeyError):
            filter_of(request_body=lambda body: {}["a"])["Request"]().body(b"")
        [(level, message, _)] = fake.lines
        self.assertEqual(level, fake.Level.ERROR)
        self.assertTrue(message.startswith("uncaught in request_body: Traceback"), message)
        self.assertIn('{}["a"]', message)

    def test_a_reply_in_mid_stream_is_explained(self):
        with self.assertRaises(Reply):
            filter_of(events_batch=failing(Reply(200)))["Events"]().batch([])
        self.assertIn("only a fault can be raised here", fake.lines[0][1])

    def test_plans_follow_from_what_there_is(self):
        def none(*_):
            return None

        def request(**written):
            return filter_of(**written)["Request"]().head().name

        def response(**written):
            return filter_of(**written)["Response"]().head().name

        self.assertEqual(request(request_head=none), "SKIP")
        self.assertEqual(request(request_body=none), "WHOLE")
        self.assertEqual(request(request_body=none, request_head=lambda: "look"), "LOOK")
        self.assertEqual(response(response_head=none, events_batch=none), "SSE")
        self.assertEqual(response(response_head=none, chunks_chunk=none), "CHUNKS")
        self.assertEqual(response(response_body=none, events_batch=none), "WHOLE")
        with self.assertRaises(TypeError) as raised:
            request(request_head=lambda: "all")
        self.assertIn('one of "skip", "look", "whole", not \'all\'', str(raised.exception))

    def test_bodies_are_bytes_with_what_is_in_them(self):
        def body(run, given=b'{"a":1}'):
            return filter_of(request_body=run)["Request"]().body(given)

        self.assertIsNone(body(lambda it: None))
        self.assertEqual(body(lambda it: it.json() | {"b": "ü"}), '{"a":1,"b":"ü"}'.encode())
        self.assertEqual(body(lambda it: it.text() + "!"), b'{"a":1}!')
        self.assertEqual(body(lambda it: it + b"!"), b'{"a":1}!')
        self.assertIsNone(body(lambda it: it.object(), b"[1]"))
        self.assertIsNone(body(lambda it: it.object(), b"\xff"))
        with self.assertRaises(Err) as raised:
            body(lambda it: it.json(), b"{")
        self.assertEqual((raised.exception.value.value.status, raised.exception.value.value.code), (400, "invalid_request"))
        with self.assertRaises(Err) as raised:
            filter_of(response_body=lambda it: it.json())["Response"]().body(b"[" * 100_000)
        self.assertEqual(raised.exception.value.value.code, "upstream_invalid")
        with self.assertRaises(TypeError):
            to_bytes(3)

    def test_half_of_a_surrogate_pair_can_be_sent_on(self):
        self.assertEqual(to_bytes(json.loads('{"a":"\\ud83d"}')), b'{"a":"\\ud83d"}')
        self.assertEqual(dump("模"), '"模"')

    def test_a_module_that_does_not_fit_plugin_toml_says_what_to_write(self):
        def fit(exports, **written):
            module = modules.ModuleType("plugin")
            vars(module).update(written)
            with self.assertRaises(ImportError) as raised:
                _contract.Filter(module, "mine", exports)
            return str(raised.exception)

        self.assertIn("write a function `gate_check`", fit(["gate"]))
        self.assertIn("does not list `events`", fit(["gate"], gate_check=print, events_end=print))
        self.assertIn("has to be a function", fit(["gate"], gate_check=3))

    def test_summaries_have_the_notes_as_values(self):
        seen = []
        observer = filter_of(observer_observe=seen.extend)["Observer"]()
        observer.observe([dataclasses.make_dataclass("Summary", ["facts"])([("tenant", '"blue"')])])
        self.assertEqual(seen[0].facts, {"tenant": "blue"})

    def test_the_exchange_has_texts_and_values_and_raises_faults(self):
        fake.fields["a"] = "ü".encode()
        exchange.set("b", 3)
        self.assertEqual(exchange.fields(), [("a", "ü"), ("b", "3")])
        self.assertIsNone(exchange.get("c"))
        exchange.set_note("n", {"a": [1]})
        self.assertEqual(fake.notes, {"n": '{"a":[1]}'})
        self.assertEqual(exchange.note("n"), {"a": [1]})
        with self.assertRaises(Fault) as raised:
            exchange.set_path("x")
        self.assertEqual(raised.exception.code, "illegal_change")

    def test_lines_of_the_log_have_fields(self):
        log.info("a", b=1, message="m")
        log.warn("c")
        self.assertEqual(fake.lines, [(fake.Level.INFO, "a", '{"b":1,"message":"m"}'), (fake.Level.WARN, "c", "")])

    def test_what_is_printed_comes_in_lines(self):
        out = log.Lines(log.info)
        print("a", "b", file=out)
        print("c", end="", file=out)
        print("d\ne", file=out)
        self.assertEqual([line[1] for line in fake.lines], ["a b", "cd", "e"])


class Capabilities(unittest.TestCase):
    def setUp(self):
        fake.asked.clear()

    def test_an_error_is_raised_with_its_code(self):
        with self.assertRaises(CapabilityError) as raised:
            kv.get("denied")
        self.assertEqual((raised.exception.code, str(raised.exception)), ("over-limit", "kv.get: over-limit"))

    def test_values_are_bytes_texts_and_json(self):
        self.assertEqual(kv.get_json("a"), {"a": 1})
        self.assertEqual(kv.get_text("a"), '{"a":1}')
        kv.set("k", {"b": 1}, ttl_ms=5)
        kv.add("n")
        self.assertEqual(fake.asked[2:], [("k", b'{"b":1}', 5), ("n", 1, None)])

    def test_limits_have_defaults(self):
        for period, given in [
            (fake.rate.Period_Held(), {}),
            (fake.rate.Period_Rolling(1000), {"per_ms": 1000}),
            (fake.rate.Period_Day(), {"per": "day"}),
            (fake.rate.Period_Month(), {"per": "month"}),
        ]:
            rate.take(rate.limit("requests", "blue", capacity=10, **given))
            self.assertEqual(fake.asked.pop(), ([fake.rate.Limit("requests", "blue", 1, 10, period)],))
        for wrong in [{"per": "week"}, {"per": "day", "per_ms": 5}]:
            with self.assertRaises(ValueError):
                rate.limit("requests", "blue", capacity=10, **wrong)

    def test_a_request_has_defaults_and_a_response_has_texts(self):
        response = http.send("https://idp.example/", fields={"Accept": "a"}, body={"q": 1})
        field = fake.types.Field("accept", b"a")
        self.assertEqual(fake.asked, [(fake.http.Request("GET", "https://idp.example/", [field], b'{"q":1}', 0),)])
        self.assertEqual((response.status, response.get("X-A"), response.body.json()), (404, "b", {}))

    def test_metrics_have_labels_as_pairs(self):
        metrics.observe("seconds", 0.5, status=200)
        self.assertEqual(fake.asked, [("seconds", 0.5, [("status", "200")])])


class Chats(unittest.TestCase):
    @staticmethod
    def delta(content):
        return event({"choices": [{"delta": {"content": content}}], "unknown": [1]})

    def test_a_batch_in_which_nothing_changes_is_given_back_as_nothing(self):
        self.assertIsNone(map_chunks([self.delta("a"), event("[DONE]")], lambda chunk: None))

    def test_chunks_are_changed_dropped_and_multiplied(self):
        def change(chunk):
            content = choices(chunk)[0]["delta"]["content"]
            return {"a": [], "b": [chunk, {"more": True}]}.get(content)

        given = [self.delta("a"), self.delta("b"), self.delta("c"), event("[DONE]")]
        self.assertEqual(map_chunks(given, change), [self.delta("b"), event({"more": True}), self.delta("c"), event("[DONE]")])

    def test_only_dictionaries_in_json_are_chunks(self):
        for data in ["[DONE]", "", "1", "null", "[1]", "{broken", '"{}"', '{"a":' * 100_000]:
            self.assertIsNone(chunk_of(event(data)), data[:10])
        self.assertEqual(chunk_of(event(' {"a":1}')), {"a": 1})

    def test_lists_of_choices_and_messages_may_be_missing_or_wrong(self):
        self.assertEqual(choices({"choices": [None, {"index": 0}, 3]}), [{"index": 0}])
        self.assertEqual(messages({"messages": "none"}), [])

    def test_the_texts_of_a_message_are_those_of_its_content_or_of_its_parts(self):
        parts = {"content": [{"type": "text", "text": "a"}, {"type": "image_url"}, None, {"type": "text", "text": "b"}]}
        self.assertEqual(texts(parts), ["a", "b"])
        self.assertEqual(texts({"content": None}), [])
        self.assertTrue(map_texts(parts, str.upper))
        self.assertEqual(texts(parts), ["A", "B"])
        self.assertFalse(map_texts({"content": "A"}, str.upper))


if __name__ == "__main__":
    unittest.main()
