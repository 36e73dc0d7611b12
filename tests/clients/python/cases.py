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

# Where the model server is no simulated one: its words and models in place of those here, and what each request needs.
SERVER = json.loads(os.environ.get("MODEL_SERVER", "{}"))


def real(word):
    return SERVER.get("words", {}).get(word, word)


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
MAIL = {
    "type": "function",
    "function": {
        "name": "send_mail",
        "description": "Sends a mail.",
        "parameters": {"type": "object", "properties": {"subject": {"type": "string"}}, "required": ["subject"]},
    },
}
# A model that knows one tool only is offered no other.
BOTH = [WEATHER] if real("send_mail") == "get_weather" else [WEATHER, MAIL]
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


def asks(text, model="demo", **more):
    return asks_with([{"role": "user", "content": real(text)}], model, **more)


def asks_with(messages, model="demo", **more):
    return {"model": real(model), "messages": messages, **SERVER.get("parameters", {}), **more}


def completes(text):
    prompt = SERVER.get("template", "{}").replace("{}", real(text))
    return {"model": real("demo"), "prompt": prompt, **SERVER.get("parameters", {})}


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
    answer = client.chat.completions.create(**asks("/echo Hello big world"))
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
    answer = client.chat.completions.create(**asks("你好,请用一句话介绍你自己", "qwen3:32b"))
    message = answer.choices[0].message
    return {
        "answers_in_chinese": real("模拟回答") in message.content,
        "reasons": real("模拟程序") in ((message.model_extra or {}).get("reasoning") or ""),
    }


def nulls():
    answer = client.chat.completions.create(
        **asks("/echo ok", stop=None, max_tokens=None, temperature=None, tools=openai.omit)
    )
    return {"content": answer.choices[0].message.content}


def limits():
    answer = client.chat.completions.create(**asks("/long 50"), max_completion_tokens=5)
    return {"finish_reason": answer.choices[0].finish_reason, "completion_tokens": answer.usage.completion_tokens}


def request_id():
    answer = client.chat.completions.create(
        **asks("/echo ok"), extra_headers={"x-request-id": "req_of_the_client"}
    )
    return {"request_id": answer._request_id}


def stream():
    chunks = list(client.chat.completions.create(**asks("/echo Hello big world"), stream=True))
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
            **asks("/echo Hello big world"), stream=True, stream_options={"include_usage": True}
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
    with client.chat.completions.stream(**asks("/echo Hello big world")) as stream:
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
    asked = asks("What is the weather in Oslo?", tools=[WEATHER])
    answer = client.chat.completions.create(**asked)
    choice = answer.choices[0]
    call = choice.message.tool_calls[0]
    asked["messages"] += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": real("12 degrees")}]
    second = client.chat.completions.create(**asked)
    return {
        "finish_reason": choice.finish_reason,
        "calls": len(choice.message.tool_calls),
        "type": call.type,
        "has_id": bool(call.id),
        "name": call.function.name,
        "arguments": json.loads(call.function.arguments),
        "tells_the_result": real("get_weather: 12 degrees") in second.choices[0].message.content,
    }


def tools_helper():
    with client.chat.completions.stream(
        **asks("What is the weather in Oslo?", "qwen3:32b"), tools=[WEATHER]
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
    answer = client.chat.completions.create(**asks("Somebody, please."), response_format=SCHEMA)
    person = json.loads(answer.choices[0].message.content)
    return {"keys": sorted(person), "age_is_integer": isinstance(person["age"], int)}


def parse_helper():
    answer = client.chat.completions.parse(**asks("Somebody, please."), response_format=Person)
    return {"is_parsed": isinstance(answer.choices[0].message.parsed, Person)}


def models():
    return {
        "ids": sorted(model.id for model in client.models.list()),
        "retrieved": client.models.retrieve(real("qwen3:32b")).id,
    }


def wrong_key():
    stranger = client.with_options(api_key="sk-of-a-stranger")
    return failing(lambda: stranger.chat.completions.create(**asks("hi")))


def no_messages():
    return failing(lambda: client.chat.completions.create(**asks_with([])))


def two_choices():
    found = []

    def ask():
        answer = client.chat.completions.create(**asks("/echo hi"), n=2)
        found.extend(choice.message.content for choice in answer.choices)

    return {**failing(ask), "contents": found}


def unknown_model():
    return failing(lambda: client.chat.completions.create(**asks("hi", "gpt-nonsense")))


def unknown_model_in_a_stream():
    return failing(lambda: client.chat.completions.create(**asks("hi", "gpt-nonsense"), stream=True))


def unknown_model_retrieved():
    return failing(lambda: client.models.retrieve("gpt-nonsense"))


def failed_model_server():
    return failing(lambda: client.chat.completions.create(**asks("/error 500")))


def broken_answer():
    return failing(lambda: client.chat.completions.create(**asks("/error mid")))


def streamed_failure(word):
    seen = []

    def read():
        for chunk in client.chat.completions.create(**asks(f"/error {word}"), stream=True):
            seen.append(chunk)

    found = failing(read)
    return {"class": found["class"], "has_message": found.get("has_message"), "has_chunks_before": bool(seen)}


def broken_stream():
    return streamed_failure("mid")


def truncated_stream():
    return streamed_failure("truncate")


def chosen(answer):
    return [choice for chunk in answer for choice in chunk.choices[:1]]


def streamed_calls(**more):
    """The calls of a stream, put together as a client does: by their index."""
    calls = {}
    reasons = []
    starts = []
    for choice in chosen(client.chat.completions.create(stream=True, **more)):
        for delta in choice.delta.tool_calls or []:
            if delta.index not in calls:
                starts.append([bool(delta.id), delta.type, bool(delta.function.name), delta.function.arguments is not None])
                calls[delta.index] = [delta.function.name, ""]
            calls[delta.index][1] += delta.function.arguments or ""
        if choice.finish_reason:
            reasons.append(choice.finish_reason)
    return {
        "calls": [[name, json.loads(arguments)] for name, arguments in calls.values()],
        "is_well_begun": all(start == [True, "function", True, True] for start in starts),
        "finish_reasons": reasons,
    }


def tools_parallel():
    answer = client.chat.completions.create(
        **asks("The weather in Oslo, by mail, please."), tools=BOTH
    )
    calls = answer.choices[0].message.tool_calls
    return {
        "names": [call.function.name for call in calls],
        "ids": len({call.id for call in calls}),
        "finish_reason": answer.choices[0].finish_reason,
    }


def tools_stream():
    return streamed_calls(**asks("The weather in Oslo, by mail, please."), tools=BOTH)


def tools_not_chosen():
    answer = client.chat.completions.create(**asks("Hello"), tools=[WEATHER])
    choice = answer.choices[0]
    return {
        "calls": len(choice.message.tool_calls or []),
        "says": real("simulated") in choice.message.content,
        "finish_reason": choice.finish_reason,
    }


def tools_not_chosen_stream():
    choices = chosen(client.chat.completions.create(**asks("Hello"), tools=[WEATHER], stream=True))
    return {
        "calls": sum(len(choice.delta.tool_calls or []) for choice in choices),
        "says": real("simulated") in "".join(choice.delta.content or "" for choice in choices),
        "finish_reasons": [choice.finish_reason for choice in choices if choice.finish_reason],
    }


def unless(call):
    """An exception of a case that may also have an answer."""
    try:
        return call()
    except openai.APIError as error:
        return {"class": type(error).__name__, "code": error.code}


def tools_broken():
    """A call that breaks off: an answer that says it was cut, or an error; never a call that counts as one."""

    def ask():
        answer = client.chat.completions.create(**asks("/error call"), tools=[WEATHER])
        choice = answer.choices[0]
        return {
            "calls": len(choice.message.tool_calls or []),
            "leaks": "tool_call" in (choice.message.content or ""),
            "finish_reason": choice.finish_reason,
        }

    return unless(ask)


def tools_broken_stream():
    def ask():
        choices = chosen(
            client.chat.completions.create(**asks("/error call"), tools=[WEATHER], stream=True)
        )
        return {
            "leaks": "tool_call" in "".join(choice.delta.content or "" for choice in choices),
            "finish_reasons": [choice.finish_reason for choice in choices if choice.finish_reason],
        }

    return unless(ask)


def tools_required():
    answer = client.chat.completions.create(
        **asks("A tool, please."), tools=[WEATHER], tool_choice="required"
    )
    choice = answer.choices[0]
    return {
        "names": [call.function.name for call in choice.message.tool_calls or []],
        "finish_reason": choice.finish_reason,
    }


def tools_named_stream():
    named = {"type": "function", "function": {"name": real("send_mail")}}
    found = streamed_calls(**asks("A mail, please."), tools=BOTH, tool_choice=named)
    found["calls"] = [name for name, _ in found["calls"]]
    return found


def reasoning_stream():
    choices = chosen(client.chat.completions.create(**asks("Hello", "qwen3:32b"), stream=True))
    thoughts = [(choice.delta.model_extra or {}).get("reasoning") or "" for choice in choices]
    content = [choice.delta.content or "" for choice in choices]
    return {
        "reasons": real("simulation") in "".join(thoughts),
        "says": real("simulated") in "".join(content),
        "has_tags": "think>" in "".join(content + thoughts),
        "thinks_first": [bool(text) for text in content].index(True) > [bool(text) for text in thoughts].index(True),
        "begins_with_a_blank": "".join(content)[:1].isspace(),
    }


def reasoning_off():
    answer = client.chat.completions.create(**asks("Hello", "qwen3:32b"), reasoning_effort="none")
    message = answer.choices[0].message
    return {
        "reasons": bool((message.model_extra or {}).get("reasoning")),
        "says": real("simulated") in message.content,
        "has_tags": "think>" in message.content,
    }


def json_schema_stream():
    choices = chosen(
        client.chat.completions.create(
            **asks("Somebody, please."), response_format=SCHEMA, stream=True
        )
    )
    return {"keys": sorted(json.loads("".join(choice.delta.content or "" for choice in choices)))}


def logprobs():
    answer = client.chat.completions.create(
        **asks("Hello", "qwen3:32b"), logprobs=True, top_logprobs=2
    )
    choice = answer.choices[0]
    entries = choice.logprobs.content
    return {
        "is_of_the_content": "".join(entry.token for entry in entries).strip() == choice.message.content.strip(),
        "alternatives": sorted({len(entry.top_logprobs) for entry in entries}),
    }


def logprobs_stream():
    choices = chosen(
        client.chat.completions.create(
            **asks("Hello", "qwen3:32b"), logprobs=True, top_logprobs=1, stream=True
        )
    )
    entries = [entry for choice in choices if choice.logprobs for entry in choice.logprobs.content or []]
    content = "".join(choice.delta.content or "" for choice in choices)
    return {"is_of_the_content": "".join(entry.token for entry in entries).strip() == content.strip()}


def stop_text():
    answer = client.chat.completions.create(**asks("/echo one two three"), stop=real("two"))
    choice = answer.choices[0]
    return {"content": choice.message.content, "finish_reason": choice.finish_reason}


def stop_text_stream():
    choices = chosen(
        client.chat.completions.create(**asks("/echo one two three"), stop=[real("two")], stream=True)
    )
    return {
        "content": "".join(choice.delta.content or "" for choice in choices),
        "finish_reasons": [choice.finish_reason for choice in choices if choice.finish_reason],
    }


def many_tokens():
    answer = client.chat.completions.create(**asks("/long 3000"), max_tokens=int(real("1100")))
    choice = answer.choices[0]
    return {
        "finish_reason": choice.finish_reason,
        "completion_tokens": answer.usage.completion_tokens,
        "words": len(choice.message.content.split()),
    }


def defaults_of_openai():
    """Every default, sent as a value."""
    answer = client.chat.completions.create(
        **asks(
            "/echo ok", temperature=1, top_p=1, n=1, presence_penalty=0, frequency_penalty=0, logit_bias={},
            logprobs=False, parallel_tool_calls=True, response_format={"type": "text"}, user="somebody", store=False,
            service_tier="auto", tools=[],
        )
    )  # fmt: skip
    return {"content": answer.choices[0].message.content}


def greedy():
    answer = client.chat.completions.create(
        **asks("/echo ok", temperature=0, seed=-1, presence_penalty=0.5)
    )
    return {"content": answer.choices[0].message.content}


def failed_before_a_stream():
    return failing(lambda: list(client.chat.completions.create(**asks("/error 500"), stream=True)))


def overload():
    return failing(lambda: client.chat.completions.create(**asks("/error 429")))


def overload_in_a_stream():
    return failing(lambda: list(client.chat.completions.create(**asks("/error 429"), stream=True)))


def page_of_a_proxy():
    return failing(lambda: client.chat.completions.create(**asks("/error html")))


def stopped_server():
    return streamed_failure("abort")


def completion():
    answer = client.completions.create(**completes("/echo Hello big world"))
    choice = answer.choices[0]
    return {
        "object": answer.object,
        "model": answer.model,
        "text": choice.text,
        "finish_reason": choice.finish_reason,
        "usage_adds_up": adds_up(answer.usage),
    }


def completion_stream():
    chunks = list(client.completions.create(**completes("/echo Hello big world"), stream=True))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {
        "text": "".join(choice.text for choice in choices),
        "finish_reasons": [choice.finish_reason for choice in choices if choice.finish_reason],
        "has_usage": any(chunk.usage for chunk in chunks),
        "ids": len({chunk.id for chunk in chunks}),
    }


def completion_limit():
    answer = client.completions.create(
        **completes("/long 50"), max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(answer)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {
        "finish_reasons": [choice.finish_reason for choice in choices if choice.finish_reason],
        "completion_tokens": chunks[-1].usage.completion_tokens,
    }


def embeddings():
    return unless(embedded)


def embedded():
    answer = client.embeddings.create(model=real("embed"), input=["one", "two"])
    floats = client.embeddings.create(model=real("embed"), input="one", encoding_format="float")
    return {
        "object": answer.object,
        "model": answer.model,
        "indexes": [entry.index for entry in answer.data],
        "dimensions": sorted({len(entry.embedding) for entry in answer.data}),
        "is_the_same_as_floats": all(
            abs(a - b) < 1e-6 for a, b in zip(answer.data[0].embedding, floats.data[0].embedding)
        ),
        "counts": answer.usage.prompt_tokens > 0,
    }


def embeddings_short():
    ask = client.embeddings.create
    return unless(lambda: {"dimensions": len(ask(model=real("embed"), input="one", dimensions=8).data[0].embedding)})


def embeddings_of_a_chat_model():
    return failing(lambda: client.embeddings.create(model=real("demo"), input="one"))


def embeddings_of_nothing():
    return failing(lambda: client.embeddings.create(model=real("embed"), input=[]))


CASES = [
    chat, chinese, nulls, limits, request_id, stream, stream_usage, stream_helper, tools, tools_helper, tools_parallel,
    tools_stream, tools_not_chosen, tools_not_chosen_stream, tools_broken, tools_broken_stream, tools_required,
    tools_named_stream, reasoning_stream, reasoning_off, json_schema, json_schema_stream, parse_helper, logprobs,
    logprobs_stream, stop_text, stop_text_stream, many_tokens, defaults_of_openai, greedy, models, wrong_key, no_messages,
    two_choices, unknown_model, unknown_model_in_a_stream, unknown_model_retrieved, failed_model_server,
    failed_before_a_stream, overload, overload_in_a_stream, page_of_a_proxy, broken_answer, broken_stream,
    truncated_stream, stopped_server, completion, completion_stream, completion_limit, embeddings, embeddings_short,
    embeddings_of_a_chat_model, embeddings_of_nothing,
]  # fmt: skip

for case in CASES:
    if case.__name__ in SERVER.get("left_out", []):
        continue
    try:
        found = case()
    except Exception:
        found = {"unexpected": traceback.format_exc()}
    print(json.dumps({"case": case.__name__, "found": found}), flush=True)
