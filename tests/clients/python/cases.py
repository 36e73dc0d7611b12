"""What the official Python client makes of the gateway's responses.

Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.
"""

import json
import os
import traceback

import openai
from openai import OpenAI
from pydantic import BaseModel

client = OpenAI(base_url=os.environ["GATEWAY_URL"] + "/v1", api_key=os.environ["GATEWAY_KEY"], max_retries=0, timeout=60)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    name: str
    age: int


def user(text):
    return [{"role": "user", "content": text}]


def adds_up(usage):
    return usage.prompt_tokens > 0 and usage.prompt_tokens + usage.completion_tokens == usage.total_tokens


def failure(error):
    """The facts of an exception, in words that both languages share."""
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
        "param": getattr(error, "param", None),
        "has_message": bool(str(error)),
        "has_request_id": bool(getattr(error, "request_id", None)),
    }


def failing(call):
    try:
        call()
    except openai.APIError as error:
        return failure(error)
    return {"class": None}


def chat():
    answer = client.chat.completions.create(model="demo", messages=user("/echo Hello big world"))
    choice = answer.choices[0]
    return {
        "object": answer.object,
        "model": answer.model,
        "role": choice.message.role,
        "content": choice.message.content,
        "finish_reason": choice.finish_reason,
        "completion_tokens": answer.usage.completion_tokens,
        "usage_adds_up": adds_up(answer.usage),
        "has_request_id": bool(answer._request_id),
    }


def chinese():
    answer = client.chat.completions.create(model="qwen3:32b", messages=user("你好,请用一句话介绍你自己"))
    message = answer.choices[0].message
    return {
        "answers_in_chinese": "模拟" in message.content,
        "reasons": "模拟" in ((message.model_extra or {}).get("reasoning") or ""),
    }


def nulls():
    answer = client.chat.completions.create(
        model="demo", messages=user("/echo ok"), stop=None, max_tokens=None, temperature=None, tools=openai.omit
    )
    return {"content": answer.choices[0].message.content}


def limits():
    answer = client.chat.completions.create(model="demo", messages=user("/long 50"), max_completion_tokens=5)
    return {"finish_reason": answer.choices[0].finish_reason, "completion_tokens": answer.usage.completion_tokens}


def request_id():
    answer = client.chat.completions.create(
        model="demo", messages=user("/echo ok"), extra_headers={"x-request-id": "req_of_the_client"}
    )
    return {"request_id": answer._request_id}


def stream():
    chunks = list(client.chat.completions.create(model="demo", messages=user("/echo Hello big world"), stream=True))
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    return {
        "content": "".join(choice.delta.content or "" for choice in choices),
        "roles": [choice.delta.role for choice in choices if choice.delta.role],
        "finish_reasons": [choice.finish_reason for choice in choices if choice.finish_reason],
        "ids": len({chunk.id for chunk in chunks}),
        "objects": sorted({chunk.object for chunk in chunks}),
        "has_usage": any(chunk.usage for chunk in chunks),
    }


def stream_usage():
    chunks = list(
        client.chat.completions.create(
            model="demo", messages=user("/echo Hello big world"), stream=True, stream_options={"include_usage": True}
        )
    )
    with_usage = [chunk for chunk in chunks if chunk.usage]
    return {
        "chunks_with_usage": len(with_usage),
        "is_last": chunks[-1].usage is not None,
        "choices": len(chunks[-1].choices),
        "completion_tokens": chunks[-1].usage.completion_tokens,
        "usage_adds_up": adds_up(chunks[-1].usage),
    }


def stream_helper():
    with client.chat.completions.stream(model="demo", messages=user("/echo Hello big world")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    message = final.choices[0].message
    return {
        "deltas": "".join(deltas),
        "content": message.content,
        "role": message.role,
        "finish_reason": final.choices[0].finish_reason,
    }


def tools():
    messages = user("What is the weather in Oslo?")
    answer = client.chat.completions.create(model="demo", messages=messages, tools=[WEATHER])
    choice = answer.choices[0]
    call = choice.message.tool_calls[0]
    messages.append(choice.message)
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "12 degrees"})
    second = client.chat.completions.create(model="demo", messages=messages, tools=[WEATHER])
    return {
        "finish_reason": choice.finish_reason,
        "calls": len(choice.message.tool_calls),
        "type": call.type,
        "has_id": bool(call.id),
        "name": call.function.name,
        "arguments": json.loads(call.function.arguments),
        "tells_the_result": "get_weather: 12 degrees" in second.choices[0].message.content,
    }


def tools_helper():
    with client.chat.completions.stream(
        model="qwen3:32b", messages=user("What is the weather in Oslo?"), tools=[WEATHER]
    ) as stream:
        final = stream.get_final_completion()
    choice = final.choices[0]
    call = choice.message.tool_calls[0]
    return {
        "finish_reason": choice.finish_reason,
        "calls": len(choice.message.tool_calls),
        "ids": call.id.count("call_"),
        "name": call.function.name,
        "arguments": json.loads(call.function.arguments),
    }


def json_schema():
    answer = client.chat.completions.create(model="demo", messages=user("Somebody, please."), response_format=SCHEMA)
    person = json.loads(answer.choices[0].message.content)
    return {"keys": sorted(person), "age_is_integer": isinstance(person["age"], int)}


def parse_helper():
    answer = client.chat.completions.parse(model="demo", messages=user("Somebody, please."), response_format=Person)
    return {"is_parsed": isinstance(answer.choices[0].message.parsed, Person)}


def models():
    return {
        "ids": sorted(model.id for model in client.models.list()),
        "retrieved": client.models.retrieve("qwen3:32b").id,
    }


def wrong_key():
    stranger = client.with_options(api_key="sk-of-a-stranger")
    return failing(lambda: stranger.chat.completions.create(model="demo", messages=user("hi")))


def no_messages():
    return failing(lambda: client.chat.completions.create(model="demo", messages=[]))


def two_choices():
    return failing(lambda: client.chat.completions.create(model="demo", messages=user("hi"), n=2))


def unknown_model():
    return failing(lambda: client.chat.completions.create(model="gpt-nonsense", messages=user("hi")))


def unknown_model_in_a_stream():
    return failing(lambda: client.chat.completions.create(model="gpt-nonsense", messages=user("hi"), stream=True))


def unknown_model_retrieved():
    return failing(lambda: client.models.retrieve("gpt-nonsense"))


def failed_model_server():
    return failing(lambda: client.chat.completions.create(model="demo", messages=user("/error 500")))


def broken_answer():
    return failing(lambda: client.chat.completions.create(model="demo", messages=user("/error mid")))


def streamed_failure(word):
    seen = []

    def read():
        for chunk in client.chat.completions.create(model="demo", messages=user(f"/error {word}"), stream=True):
            seen.append(chunk)

    found = failing(read)
    return {"class": found["class"], "has_message": found.get("has_message"), "has_chunks_before": bool(seen)}


def broken_stream():
    return streamed_failure("mid")


def truncated_stream():
    return streamed_failure("truncate")


CASES = [
    chat, chinese, nulls, limits, request_id, stream, stream_usage, stream_helper, tools, tools_helper, json_schema,
    parse_helper, models, wrong_key, no_messages, two_choices, unknown_model, unknown_model_in_a_stream,
    unknown_model_retrieved, failed_model_server, broken_answer, broken_stream, truncated_stream,
]  # fmt: skip

for case in CASES:
    try:
        found = case()
    except Exception:
        found = {"unexpected": traceback.format_exc()}
    print(json.dumps({"case": case.__name__, "found": found}), flush=True)
