"""What LangChain makes of the gateway's responses.

Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.
"""

import json
import os
import traceback

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


def model(name="demo", **more):
    return ChatOpenAI(
        model=name,
        base_url=os.environ["GATEWAY_URL"] + "/v1",
        api_key=os.environ["GATEWAY_KEY"],
        max_retries=0,
        timeout=60,
        **more,
    )


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"12 degrees in {city}"


def text():
    answer = model().invoke("/echo Hello big world")
    return {
        "content": answer.content,
        "finish_reason": answer.response_metadata["finish_reason"],
        "counts": answer.usage_metadata["output_tokens"] > 0,
    }


def stream():
    chunks = list(model(stream_usage=True).stream("/echo Hello big world"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {
        "content": whole.content,
        "finish_reason": whole.response_metadata["finish_reason"],
        "counts": whole.usage_metadata["output_tokens"] > 0,
    }


def tools():
    """A whole turn: the call, its result, and the answer."""
    bound = model().bind_tools([get_weather])
    messages = [HumanMessage("What is the weather in Oslo?")]
    answer = bound.invoke(messages)
    call = answer.tool_calls[0]
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    second = bound.invoke([*messages, answer, result])
    return {
        "calls": [[call["name"], call["args"]] for call in answer.tool_calls],
        "tells_the_result": "get_weather: 12 degrees in Oslo" in second.content,
    }


def tools_stream():
    chunks = list(model("qwen3:32b").bind_tools([get_weather]).stream("What is the weather in Oslo?"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {
        "calls": [[call["name"], call["args"]] for call in whole.tool_calls],
        "invalid": len(whole.invalid_tool_calls),
    }


def structured():
    person = model().with_structured_output(Person, method="json_schema").invoke("Somebody, please.")
    return {"is_parsed": isinstance(person, Person)}


def structured_by_a_tool():
    person = model().with_structured_output(Person, method="function_calling").invoke("Somebody, please.")
    return {"is_parsed": isinstance(person, Person)}


for case in [text, stream, tools, tools_stream, structured, structured_by_a_tool]:
    try:
        found = case()
    except Exception:
        found = {"unexpected": traceback.format_exc()}
    print(json.dumps({"case": case.__name__, "found": found}), flush=True)
