"""What the official Python client makes of the gateway's Responses API.

Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does. Only the types of
what comes are checked here, since the client itself takes anything.
"""

import json
import os
import traceback

import openai
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

client = OpenAI(base_url=os.environ["GATEWAY_URL"] + "/v1", api_key=os.environ["GATEWAY_KEY"], max_retries=0, timeout=60)

EVENT = TypeAdapter(ResponseStreamEvent)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": None,
}
MAIL = {
    "type": "function",
    "name": "send_mail",
    "description": "Sends a mail.",
    "parameters": {"type": "object", "properties": {"subject": {"type": "string"}}, "required": ["subject"]},
    "strict": None,
}
SCHEMA = {
    "type": "json_schema",
    "name": "person",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
}


class Person(BaseModel):
    name: str
    age: int


def create(model="demo", **more):
    response = client.responses.create(model=model, **more)
    Response.model_validate(response.to_dict())
    return response


def events_of(model="demo", **more):
    """The events of a stream, with their types checked."""
    events = []
    for event in client.responses.create(model=model, stream=True, **more):
        # The document lists some codes of a failed response; the service sends others too, and so do we.
        if event.type != "response.failed":
            EVENT.validate_python(event.to_dict())
        events.append(event)
    return events


def types(response):
    return [item.type for item in response.output]


def deltas(events, name):
    return "".join(event.delta for event in events if event.type == f"response.{name}.delta")


def adds_up(usage):
    return usage.input_tokens > 0 and usage.input_tokens + usage.output_tokens == usage.total_tokens


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


def text():
    response = create(input="/echo Hello big world", metadata={"a": "b"}, temperature=0.5)
    return {
        "object": response.object,
        "model": response.model,
        "status": response.status,
        "output_text": response.output_text,
        "types": types(response),
        "store": response.store,
        "metadata": response.metadata,
        "temperature": response.temperature,
        "usage_adds_up": adds_up(response.usage),
        "has_request_id": bool(response._request_id),
    }


def items():
    response = create(
        instructions="Answer in one word.",
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": [{"type": "input_text", "text": "/echo one"}]},
        ],
        store=False,
        user="somebody",
        truncation="disabled",
    )
    return {"output_text": response.output_text, "instructions": response.instructions}


def limits():
    response = create(input="/long 50", max_output_tokens=16)
    return {
        "status": response.status,
        "reason": response.incomplete_details.reason,
        "output_tokens": response.usage.output_tokens,
        "item": response.output[0].status,
    }


def request_id():
    response = create(input="/echo ok", extra_headers={"x-request-id": "req_of_the_client"})
    return {"request_id": response._request_id}


def stream():
    events = events_of(input="/echo Hello big world")
    final = events[-1].response
    return {
        "first": [event.type for event in events[:4]],
        "last": events[-1].type,
        "deltas": deltas(events, "output_text"),
        "output_text": final.output_text,
        "is_numbered": [event.sequence_number for event in events] == list(range(len(events))),
        "ids": len({event.response.id for event in events if hasattr(event, "response")}),
        "usage_adds_up": adds_up(final.usage),
    }


def stream_helper():
    with client.responses.stream(model="demo", input="/echo Hello big world") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    return {"deltas": "".join(texts), "output_text": final.output_text, "status": final.status}


def cut_stream():
    events = events_of(input="/long 50", max_output_tokens=16)
    return {"last": events[-1].type, "reason": events[-1].response.incomplete_details.reason}


def tools():
    asked = [{"role": "user", "content": "What is the weather in Oslo?"}]
    response = create(input=asked, tools=[WEATHER])
    call = response.output[-1]
    asked += response.output
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"})
    second = create(input=asked, tools=[WEATHER])
    return {
        "type": call.type,
        "status": call.status,
        "name": call.name,
        "arguments": json.loads(call.arguments),
        "has_ids": bool(call.id and call.call_id),
        "tells_the_result": "get_weather: 12 degrees" in second.output_text,
    }


def tools_helper():
    with client.responses.stream(
        model="qwen3:32b", input="What is the weather in Oslo?", tools=[WEATHER], reasoning={"effort": "low"}
    ) as stream:
        final = stream.get_final_response()
    call = final.output[-1]
    return {"type": call.type, "name": call.name, "arguments": json.loads(call.arguments)}


def tools_parallel():
    events = events_of(input="The weather in Oslo, by mail, please.", tools=[WEATHER, MAIL], tool_choice="auto")
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    final = [item for item in events[-1].response.output if item.type == "function_call"]
    return {
        "names": [item.name for item in final],
        "call_ids": len({item.call_id for item in final}),
        "is_the_same": [event.arguments for event in done] == [item.arguments for item in final],
    }


def tools_not_chosen():
    response = create(input="Hello", tools=[WEATHER])
    return {"types": types(response), "says": "simulated" in response.output_text}


def allowed_tools():
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "send_mail"}]}
    response = create(input="The weather in Oslo, by mail, please.", tools=[WEATHER, MAIL], tool_choice=allowed)
    return {"names": [item.name for item in response.output if item.type == "function_call"]}


def reasoning():
    response = create("qwen3:32b", input="Hello")
    item = response.output[0]
    return {
        "types": types(response),
        "reasons": "simulation" in item.content[0].text,
        "summary": len(item.summary),
        "is_encrypted": bool(item.encrypted_content),
        "says": "simulated" in response.output_text,
    }


def reasoning_stream():
    events = events_of("qwen3:32b", input="Hello")
    final = events[-1].response
    return {
        "types": types(final),
        "is_the_same": deltas(events, "reasoning_text") == final.output[0].content[0].text,
        "says": "simulated" in deltas(events, "output_text"),
    }


def reasoning_summary():
    events = events_of("qwen3:32b", input="Hello", reasoning={"summary": "auto"})
    item = events[-1].response.output[0]
    return {
        "is_the_same": deltas(events, "reasoning_summary_text") == item.summary[0].text,
        "reasons": "simulation" in item.summary[0].text,
        "content": len(item.content or []),
    }


def reasoning_encrypted():
    asked = [{"role": "user", "content": "Hello"}]
    first = create("qwen3:32b", input=asked, store=False, include=["reasoning.encrypted_content"])
    asked += first.output
    asked.append({"role": "user", "content": "/echo ok"})
    second = create("qwen3:32b", input=asked, store=False, include=["reasoning.encrypted_content"])
    return {"is_encrypted": bool(first.output[0].encrypted_content), "output_text": second.output_text}


def reasoning_off():
    response = create("qwen3:32b", input="Hello", reasoning={"effort": "none"})
    return {"types": types(response), "says": "simulated" in response.output_text}


def json_schema():
    response = create(input="Somebody, please.", text={"format": SCHEMA})
    person = json.loads(response.output_text)
    return {"keys": sorted(person), "age_is_integer": isinstance(person["age"], int)}


def parse_helper():
    response = client.responses.parse(model="demo", input="Somebody, please.", text_format=Person)
    return {"is_parsed": isinstance(response.output_parsed, Person)}


def logprobs():
    response = create("qwen3:32b", input="Hello", include=["message.output_text.logprobs"], top_logprobs=2)
    entries = response.output[-1].content[0].logprobs
    return {
        "is_of_the_text": "".join(entry.token for entry in entries).strip() == response.output_text.strip(),
        "alternatives": sorted({len(entry.top_logprobs) for entry in entries}),
    }


def previous_response():
    return failing(lambda: create(input="Hello", previous_response_id="resp_1"))


def built_in_tool():
    return failing(lambda: create(input="Hello", tools=[{"type": "web_search"}]))


def retrieved():
    return failing(lambda: client.responses.retrieve("resp_1"))


def wrong_key():
    stranger = client.with_options(api_key="sk-of-a-stranger")
    return failing(lambda: stranger.responses.create(model="demo", input="hi"))


def unknown_model():
    return failing(lambda: create("gpt-nonsense", input="hi"))


def unknown_model_in_a_stream():
    return failing(lambda: events_of("gpt-nonsense", input="hi"))


def failed_model_server():
    return failing(lambda: create(input="/error 500"))


def failed_before_a_stream():
    return failing(lambda: events_of(input="/error 500"))


def overload():
    return failing(lambda: create(input="/error 429"))


def broken_response():
    return failing(lambda: create(input="/error mid"))


def streamed_failure(word):
    last = events_of(input=f"/error {word}")[-1]
    return {
        "last": last.type,
        "status": last.response.status,
        "has_error": bool(last.response.error.code and last.response.error.message),
        "item": last.response.output[-1].status,
    }


def broken_stream():
    return streamed_failure("mid")


def truncated_stream():
    return streamed_failure("truncate")


def stopped_server():
    return streamed_failure("abort")


CASES = [
    text, items, limits, request_id, stream, stream_helper, cut_stream, tools, tools_helper, tools_parallel,
    tools_not_chosen, allowed_tools, reasoning, reasoning_stream, reasoning_summary, reasoning_encrypted, reasoning_off,
    json_schema, parse_helper, logprobs, previous_response, built_in_tool, retrieved, wrong_key, unknown_model,
    unknown_model_in_a_stream, failed_model_server, failed_before_a_stream, overload, broken_response, broken_stream,
    truncated_stream, stopped_server,
]  # fmt: skip

for case in CASES:
    try:
        found = case()
    except Exception:
        found = {"unexpected": traceback.format_exc()}
    print(json.dumps({"case": case.__name__, "found": found}), flush=True)
