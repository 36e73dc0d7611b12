"""What Anthropic's official Python client makes of the gateway's responses.

Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.
"""

import json
import os
import traceback

import anthropic
from anthropic import Anthropic
from pydantic import BaseModel

URL = os.environ["GATEWAY_URL"]
KEY = os.environ["GATEWAY_KEY"]
client = Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=60)

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
MAIL = {
    "name": "send_mail",
    "description": "Sends a mail.",
    "input_schema": {"type": "object", "properties": {"subject": {"type": "string"}}, "required": ["subject"]},
}
BOTH = "The weather in Oslo, by mail, please."
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
THINKING = {"type": "enabled", "budget_tokens": 1024}
# One pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


class Person(BaseModel):
    name: str
    age: int


def asked(text, **more):
    return {"model": "demo", "max_tokens": 2000, "messages": [{"role": "user", "content": text}], **more}


def create(text, **more):
    return client.messages.create(**asked(text, **more))


def final(text, **more):
    with client.messages.stream(**asked(text, **more)) as stream:
        return stream.get_final_message()


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def thoughts_of(message):
    return "".join(block.thinking for block in message.content if block.type == "thinking")


def types_of(message):
    return [block.type for block in message.content]


def calls_of(message):
    return [[block.name, block.input] for block in message.content if block.type == "tool_use"]


def failure(error):
    """The facts of an exception, in words that both languages share."""
    body = error.body if isinstance(error.body, dict) else {}
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "type": (body.get("error") or {}).get("type"),
        "has_message": bool(str(error)),
        "has_request_id": bool(getattr(error, "request_id", None)) and error.request_id == body.get("request_id"),
    }


def failing(call):
    try:
        call()
    except anthropic.APIError as error:
        return failure(error)
    return {"class": None}


def streamed_failure(word):
    seen = []

    def ask():
        for event in client.messages.create(stream=True, **asked(f"/error {word}")):
            seen.append(event.type)

    found = failing(ask)
    return {
        "type": found.get("type"),
        "has_message": found.get("has_message"),
        "has_deltas_before": "content_block_delta" in seen,
        "has_an_end": "message_stop" in seen,
    }


def message():
    answer = create("/echo Hello big world")
    return {
        "type": answer.type,
        "role": answer.role,
        "model": answer.model,
        "types": types_of(answer),
        "text": text_of(answer),
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "counts": answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0,
        "has_id": answer.id.startswith("msg_"),
        "has_request_id": (answer._request_id or "").startswith("req_"),
    }


def request_id():
    answer = create("/echo ok", extra_headers={"x-request-id": "req_of_the_client"})
    return {"request_id": answer._request_id}


def system_with_cache_fields():
    cached = {"type": "ephemeral"}
    system = [{"type": "text", "text": "Be brief.", "cache_control": cached}, {"type": "text", "text": "Be kind."}]
    content = [{"type": "text", "text": "/echo ok", "cache_control": cached}]
    answer = create(content, system=system, metadata={"user_id": "somebody"}, service_tier="auto")
    return {"text": text_of(answer)}


def sampling():
    # The installed client has no typed names for sampling parameters that newer models refuse.
    extra = {"temperature": 0.5, "top_p": 0.9, "top_k": 40}
    return {"text": text_of(create("/echo ok", extra_body=extra))}


def beta():
    answer = client.beta.messages.create(betas=["interleaved-thinking-2025-05-14"], **asked("/echo ok"))
    return {"text": text_of(answer)}


def limits():
    answer = create("/long 50", max_tokens=5)
    return {"stop_reason": answer.stop_reason, "output_tokens": answer.usage.output_tokens}


def stop_text():
    answer = create("/echo one two three", stop_sequences=["two"])
    return {"text": text_of(answer), "stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence}


def stop_text_stream():
    answer = final("/echo one two three", stop_sequences=["two"])
    return {"text": text_of(answer), "stop_reason": answer.stop_reason, "stop_sequence": answer.stop_sequence}


def stream():
    events = list(client.messages.create(stream=True, **asked("/echo Hello big world")))
    types = [event.type for event in events]
    return {
        "order": [kind for at, kind in enumerate(types) if at == 0 or types[at - 1] != kind],
        "text": "".join(event.delta.text for event in events if event.type == "content_block_delta"),
        "first_input_tokens": events[0].message.usage.input_tokens,
        "counts": events[-2].usage.input_tokens > 0 and events[-2].usage.output_tokens > 0,
        "stop_reason": events[-2].delta.stop_reason,
    }


def stream_helper():
    with client.messages.stream(**asked("/echo Hello big world")) as stream:
        deltas = "".join(stream.text_stream)
        answer = stream.get_final_message()
    return {
        "deltas": deltas,
        "text": text_of(answer),
        "stop_reason": answer.stop_reason,
        "counts": answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0,
        "request_id": bool(stream.request_id),
    }


def thinking():
    answer = create("Hello", model="qwen3:32b", thinking=THINKING)
    return {
        "types": types_of(answer),
        "reasons": "simulation" in thoughts_of(answer),
        "says": "simulated" in text_of(answer),
        "is_signed": bool(answer.content[0].signature),
    }


def thinking_stream():
    answer = final("Hello", model="qwen3:32b", thinking=THINKING)
    return {
        "types": types_of(answer),
        "reasons": "simulation" in thoughts_of(answer),
        "says": "simulated" in text_of(answer),
        "is_signed": bool(answer.content[0].signature),
    }


def thinking_not_asked():
    return {"types": types_of(create("Hello", model="qwen3:32b"))}


def thinking_off():
    return {"types": types_of(final("Hello", model="qwen3:32b", thinking={"type": "disabled"}))}


def thinking_sent_back():
    first = create("Hello", model="qwen3:32b", thinking=THINKING)
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": "/echo ok"},
    ]
    answer = client.messages.create(model="qwen3:32b", max_tokens=2000, thinking=THINKING, messages=messages)
    return {"text": text_of(answer)}


def tools():
    question = "What is the weather in Oslo?"
    first = create(question, tools=[WEATHER])
    call = next(block for block in first.content if block.type == "tool_use")
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees, rain"}]},
    ]
    second = client.messages.create(model="demo", max_tokens=2000, messages=messages, tools=[WEATHER])
    return {
        "stop_reason": first.stop_reason,
        "calls": calls_of(first),
        "has_id": bool(call.id),
        "tells_the_result": "12 degrees" in text_of(second),
        "then": second.stop_reason,
    }


def tools_parallel():
    answer = create(BOTH, tools=[WEATHER, MAIL])
    ids = {block.id for block in answer.content if block.type == "tool_use"}
    return {"calls": calls_of(answer), "ids": len(ids), "stop_reason": answer.stop_reason}


def tools_stream():
    answer = final(BOTH, tools=[WEATHER, MAIL])
    ids = {block.id for block in answer.content if block.type == "tool_use"}
    return {"calls": calls_of(answer), "ids": len(ids), "stop_reason": answer.stop_reason}


def tools_not_chosen():
    answer = create("Hello", tools=[WEATHER])
    return {"types": types_of(answer), "stop_reason": answer.stop_reason}


def tools_not_chosen_stream():
    answer = final("Hello", tools=[WEATHER])
    return {"types": types_of(answer), "stop_reason": answer.stop_reason}


def tools_none():
    answer = create(BOTH, tools=[WEATHER, MAIL], tool_choice={"type": "none"})
    return {"types": types_of(answer), "stop_reason": answer.stop_reason}


def tools_any():
    answer = create("Hello", tools=[WEATHER], tool_choice={"type": "any"})
    return {"names": [name for name, _ in calls_of(answer)], "stop_reason": answer.stop_reason}


def tools_named_stream():
    answer = final("Hello", tools=[WEATHER, MAIL], tool_choice={"type": "tool", "name": "send_mail"})
    return {"names": [name for name, _ in calls_of(answer)], "stop_reason": answer.stop_reason}


def unless(call):
    """An exception of a case that may also have an answer."""
    try:
        return call()
    except anthropic.APIError as error:
        return {"type": failure(error)["type"]}


def tools_broken():
    def ask():
        answer = create("/error call", tools=[WEATHER])
        return {"leaks": "tool_call" in text_of(answer), "stop_reason": answer.stop_reason}

    return unless(ask)


def tools_broken_stream():
    def ask():
        answer = final("/error call", tools=[WEATHER])
        return {"leaks": "tool_call" in text_of(answer), "stop_reason": answer.stop_reason}

    return unless(ask)


def image():
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}

    def ask():
        answer = create([{"type": "image", "source": source}, {"type": "text", "text": "/echo ok"}])
        return {"text": text_of(answer)}

    return unless(ask)


def json_schema():
    answer = create("Somebody, please.", output_config={"format": {"type": "json_schema", "schema": PERSON}})
    found = json.loads(text_of(answer))
    return {"keys": sorted(found), "age_is_integer": isinstance(found["age"], int)}


def parse_helper():
    answer = client.messages.parse(output_format=Person, **asked("Somebody, please."))
    return {"is_parsed": isinstance(answer.parsed_output, Person)}


def count_tokens():
    messages = [{"role": "user", "content": "How many?"}]
    count = client.messages.count_tokens(model="demo", messages=messages, system="Be brief.", tools=[WEATHER])
    return {"counts": count.input_tokens > 5}


def models():
    other = Anthropic(base_url=URL + "/anthropic", api_key=KEY, max_retries=0, timeout=60)
    page = other.models.list()
    one = other.models.retrieve("qwen3:32b")
    return {
        "ids": sorted(model.id for model in page),
        "types": sorted({model.type for model in page}),
        "has_time": page.data[0].created_at.year >= 1970,
        "retrieved": one.id,
    }


def wrong_key():
    other = Anthropic(base_url=URL, api_key="sk-of-nobody", max_retries=0, timeout=60)
    return failing(lambda: other.messages.create(**asked("/echo ok")))


def bearer():
    other = Anthropic(base_url=URL, auth_token=KEY, api_key=None, max_retries=0, timeout=60)
    return {"text": text_of(other.messages.create(**asked("/echo ok")))}


def no_messages():
    return failing(lambda: client.messages.create(model="demo", max_tokens=9, messages=[]))


def document():
    source = {"type": "text", "media_type": "text/plain", "data": "Once upon a time"}
    return failing(lambda: create([{"type": "document", "source": source}]))


def server_tool():
    return failing(lambda: create("Hello", tools=[{"type": "web_search_20250305", "name": "web_search"}]))


def unknown_model():
    return failing(lambda: create("/echo ok", model="nobody"))


def unknown_model_in_a_stream():
    return failing(lambda: final("/echo ok", model="nobody"))


def failed_model_server():
    return failing(lambda: create("/error 500"))


def failed_before_a_stream():
    return failing(lambda: final("/error 500"))


def overload():
    return failing(lambda: create("/error 429"))


def overload_in_a_stream():
    return failing(lambda: final("/error 429"))


def unavailable():
    return failing(lambda: create("/error 503"))


def page_of_a_proxy():
    return failing(lambda: create("/error html"))


def broken_answer():
    return failing(lambda: create("/error mid"))


def broken_stream():
    return streamed_failure("mid")


def truncated_stream():
    return streamed_failure("truncate")


def stopped_server():
    return streamed_failure("abort")


CASES = [
    message, request_id, system_with_cache_fields, sampling, beta, limits, stop_text, stop_text_stream, stream,
    stream_helper, thinking, thinking_stream, thinking_not_asked, thinking_off, thinking_sent_back, tools, tools_parallel,
    tools_stream, tools_not_chosen, tools_not_chosen_stream, tools_none, tools_any, tools_named_stream, tools_broken,
    tools_broken_stream, image, json_schema, parse_helper, count_tokens, models, wrong_key, bearer, no_messages, document,
    server_tool, unknown_model, unknown_model_in_a_stream, failed_model_server, failed_before_a_stream, overload,
    overload_in_a_stream, unavailable, page_of_a_proxy, broken_answer, broken_stream, truncated_stream, stopped_server,
]  # fmt: skip

for case in CASES:
    try:
        found = case()
    except Exception:
        found = {"unexpected": traceback.format_exc()}
    print(json.dumps({"case": case.__name__, "found": found}), flush=True)
