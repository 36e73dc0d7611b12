"""What Ollama's own Python client makes of the responses of the front `ollama-api`.

Prints one line of JSON for each case: {"case": name, "found": facts}. Judges nothing; the Rust test does.
"""

import base64
import json
import os
import traceback

import ollama

HOST = os.environ["GATEWAY_URL"]
client = ollama.Client(host=HOST, headers={"authorization": "Bearer " + os.environ["GATEWAY_KEY"]}, timeout=60)
stranger = ollama.Client(host=HOST, headers={"authorization": "Bearer sk-of-a-stranger"}, timeout=60)

# One transparent pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: The city.
    """
    return f"12 degrees in {city}"


def send_mail(subject: str) -> str:
    """Send a mail.

    Args:
        subject: The subject.
    """
    return subject


def user(text):
    return [{"role": "user", "content": text}]


def failure(error):
    return {"status": error.status_code if error.status_code > 0 else None, "message": error.error}


def failing(call):
    try:
        call()
    except ollama.ResponseError as error:
        return failure(error)
    return {"status": 200}


def figures(response):
    return {
        "counts": response.prompt_eval_count > 0 and response.eval_count > 0,
        "times": response.total_duration > 0 and response.eval_duration >= 0 and response.load_duration == 0,
    }


def chat():
    response = client.chat(model="demo", messages=user("/echo Hello big world"))
    return {
        "model": response.model,
        "role": response.message.role,
        "content": response.message.content,
        "done": response.done,
        "done_reason": response.done_reason,
        "dated": response.created_at.endswith("Z"),
        **figures(response),
    }


def chat_stream():
    lines = list(client.chat(model="demo", messages=user("/echo Hello big world"), stream=True))
    return {
        "content": "".join(line.message.content for line in lines),
        "lines": len(lines) > 1,
        "done": [line.done for line in lines].index(True) == len(lines) - 1,
        "done_reason": lines[-1].done_reason,
        "models": sorted({line.model for line in lines}),
        **figures(lines[-1]),
    }


def chinese():
    response = client.chat(model="qwen3:32b", messages=user("你好,请用一句话介绍你自己"))
    return {"answers_in_chinese": "模拟" in response.message.content}


def line_ends():
    """What this client takes for the end of a line does not break one."""
    text = "a\u2028b\u0085c\u2029d"
    lines = list(client.chat(model="demo", messages=user("/echo " + text), stream=True))
    return {"content": "".join(line.message.content for line in lines) == text}


def thinking():
    response = client.chat(model="qwen3:32b", messages=user("Hello"), think=True)
    return {"thinks": bool(response.message.thinking), "says": "simulated" in response.message.content}


def thinking_stream():
    lines = list(client.chat(model="qwen3:32b", messages=user("Hello"), think=True, stream=True))
    thoughts = [bool(line.message.thinking) for line in lines]
    texts = [bool(line.message.content) for line in lines]
    return {"thinks_first": thoughts.index(True) < texts.index(True), "both": [True, True] in zip(thoughts, texts)}


def thinking_off():
    response = client.chat(model="qwen3:32b", messages=user("Hello"), think=False)
    return {"thinks": bool(response.message.thinking), "says": "simulated" in response.message.content}


def tools():
    messages = user("What is the weather in Oslo?")
    response = client.chat(model="demo", messages=messages, tools=[get_weather])
    call = response.message.tool_calls[0]
    messages.append(response.message)
    result = get_weather(**call.function.arguments)
    messages.append({"role": "tool", "tool_name": call.function.name, "content": result})
    second = client.chat(model="demo", messages=messages, tools=[get_weather])
    return {
        "calls": len(response.message.tool_calls),
        "name": call.function.name,
        "arguments": dict(call.function.arguments),
        "done_reason": response.done_reason,
        "tells_the_result": "get_weather: 12 degrees in Oslo" in second.message.content,
    }


def tools_stream():
    lines = list(
        client.chat(
            model="demo",
            messages=user("The weather in Oslo, by mail, please."),
            tools=[get_weather, send_mail],
            stream=True,
        )
    )
    calls = [call for line in lines for call in line.message.tool_calls or []]
    return {
        "calls": [[call.function.name, dict(call.function.arguments)] for call in calls],
        "are_before_the_end": not lines[-1].message.tool_calls,
        "done_reason": lines[-1].done_reason,
    }


def tools_not_chosen():
    response = client.chat(model="demo", messages=user("Hello"), tools=[get_weather])
    return {"calls": len(response.message.tool_calls or []), "says": "simulated" in response.message.content}


def tools_broken():
    """A call that breaks off: an answer that says it was cut, or an error; never a call that counts as one."""
    seen = []

    def ask():
        for line in client.chat(model="demo", messages=user("/error call"), tools=[get_weather], stream=True):
            seen.append(line)

    found = failing(ask)
    calls = [call for line in seen for call in line.message.tool_calls or []]
    cut = bool(seen) and seen[-1].done_reason == "length"
    return {"calls": len(calls), "is_cut_or_an_error": cut or found["status"] != 200}


def image():
    def ask():
        messages = [{"role": "user", "content": "What is it?", "images": [PNG]}]
        response = client.chat(model="demo", messages=messages)
        seen.append("1 image" in response.message.content)

    seen = []
    return {**failing(ask), "is_seen": seen}


def schema():
    response = client.chat(model="demo", messages=user("Somebody, please."), format=SCHEMA)
    person = json.loads(response.message.content)
    return {"keys": sorted(person), "age_is_integer": isinstance(person["age"], int)}


def options():
    response = client.chat(
        model="demo", messages=user("/long 50"), options={"num_predict": 5, "temperature": 0, "num_thread": 4, "x": 1}
    )
    return {"done_reason": response.done_reason, "eval_count": response.eval_count}


def stop():
    response = client.chat(model="demo", messages=user("/echo one two three"), options={"stop": ["two"]})
    return {"content": response.message.content, "done_reason": response.done_reason}


def logprobs():
    response = client.chat(model="demo", messages=user("/echo Hello"), logprobs=True, top_logprobs=2, think=False)
    return {
        "is_of_the_content": "".join(token.token for token in response.logprobs) == response.message.content,
        "alternatives": sorted({len(token.top_logprobs) for token in response.logprobs}),
    }


def load():
    response = client.chat(model="demo", messages=[])
    unloaded = client.generate(model="demo", prompt="", keep_alive=0)
    return {"done_reasons": [response.done_reason, unloaded.done_reason], "done": response.done and unloaded.done}


def generate():
    response = client.generate(model="demo", prompt="/echo Hello big world", system="Be kind.", keep_alive="5m")
    return {"response": response.response, "done_reason": response.done_reason, **figures(response)}


def generate_stream():
    lines = list(client.generate(model="demo", prompt="/echo Hello big world", stream=True))
    return {
        "response": "".join(line.response for line in lines),
        "done": [line.done for line in lines].index(True) == len(lines) - 1,
    }


def generate_raw():
    def ask():
        response = client.generate(model="demo", prompt="/echo Hello big world", raw=True)
        seen.append(response.response)

    seen = []
    return {**failing(ask), "responses": seen}


def embed():
    def ask():
        two = client.embed(model="embed", input=["Hello", "world"])
        one = client.embed(model="embed", input="Hello")
        older = client.embeddings(model="embed", prompt="Hello")
        seen["vectors"] = [len(two.embeddings), len(one.embeddings)]
        seen["dimensions"] = sorted({len(vector) for vector in [*two.embeddings, older.embedding]})
        seen["is_the_same"] = list(two.embeddings[0]) == list(one.embeddings[0]) == list(older.embedding)
        seen["counts"] = two.prompt_eval_count > 0

    seen = {}
    return {**failing(ask), **seen}


def embed_nothing():
    return {"vectors": len(client.embed(model="embed", input=[]).embeddings)}


def models():
    listed = client.list().models
    shown = client.show("qwen3:32b")
    loaded = client.ps().models
    lengths = [value for name, value in shown.modelinfo.items() if name.endswith(".context_length")]
    return {
        "names": sorted(model.model for model in listed),
        "are_dated": all(model.modified_at is not None for model in listed),
        "capabilities": shown.capabilities[:1],
        "context_length": lengths == [40960],
        "loaded": sorted(model.model for model in loaded),
    }


def unknown_model():
    return failing(lambda: client.chat(model="gpt-nonsense", messages=user("hi")))


def unknown_model_in_a_stream():
    return failing(lambda: list(client.chat(model="gpt-nonsense", messages=user("hi"), stream=True)))


def unknown_model_shown():
    return failing(lambda: client.show("gpt-nonsense"))


def wrong_key():
    found = failing(lambda: stranger.chat(model="demo", messages=user("hi")))
    return {"status": found["status"], "has_message": bool(found["message"])}


def wrong_key_elsewhere():
    return {"statuses": [failing(call)["status"] for call in (stranger.list, stranger.ps)]}


def wrong_option():
    return failing(lambda: client.chat(model="demo", messages=user("hi"), options={"stop": 3}))


def pull():
    found = failing(lambda: client.pull("demo"))
    return {"status": found["status"], "has_message": bool(found["message"])}


def failed_model_server():
    found = failing(lambda: client.chat(model="demo", messages=user("/error 500")))
    return {"is_an_error": found["status"] >= 500, "has_message": bool(found["message"])}


def overload():
    found = failing(lambda: client.chat(model="demo", messages=user("/error 429"), stream=False))
    return {"status": found["status"]}


def broken_answer():
    found = failing(lambda: client.chat(model="demo", messages=user("/error mid")))
    return {"is_an_error": found["status"] >= 500, "has_message": bool(found["message"])}


def streamed_failure(word):
    seen = []

    def read():
        for line in client.chat(model="demo", messages=user(f"/error {word}"), stream=True):
            seen.append(line)

    found = failing(read)
    return {
        "status": found["status"],
        "has_message": bool(found.get("message")),
        "has_lines_before": bool(seen),
        "is_done": any(line.done for line in seen),
    }


def broken_stream():
    return streamed_failure("mid")


def truncated_stream():
    return streamed_failure("truncate")


CASES = [
    chat,
    chat_stream,
    chinese,
    line_ends,
    thinking,
    thinking_stream,
    thinking_off,
    tools,
    tools_stream,
    tools_not_chosen,
    tools_broken,
    image,
    schema,
    options,
    stop,
    logprobs,
    load,
    generate,
    generate_stream,
    generate_raw,
    embed,
    embed_nothing,
    models,
    unknown_model,
    unknown_model_in_a_stream,
    unknown_model_shown,
    wrong_key,
    wrong_key_elsewhere,
    wrong_option,
    pull,
    failed_model_server,
    overload,
    broken_answer,
    broken_stream,
    truncated_stream,
]

for case in CASES:
    try:
        found = case()
    except Exception:
        found = {"exception": traceback.format_exc()}
    print(json.dumps({"case": case.__name__, "found": found}, ensure_ascii=False), flush=True)
