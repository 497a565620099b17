"""Messages: plain and streamed, and what a request may carry."""

import base64
import json

from conftest import SONNET

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def test_a_message_is_answered_in_the_shape_of_the_messages_api(client, say):
    message = client.messages.create(model=SONNET, max_tokens=1024, messages=say("Hello, Claude!"))

    assert message.id.startswith("msg_")
    assert message.type == "message"
    assert message.role == "assistant"
    assert message.model == SONNET, "the id that was asked for, not the provider's"
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text.startswith("Hello!")
    assert message.stop_reason == "end_turn"
    assert message.stop_sequence is None
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_the_fields_that_may_be_null_are_there(client, say):
    answer = client.messages.with_raw_response.create(model=SONNET, max_tokens=1024, messages=say("Hello, Claude!"))
    body = json.loads(answer.http_response.content)

    assert body["stop_sequence"] is None
    assert set(body) >= {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}


def test_the_final_message_of_a_stream_is_the_message(client, say):
    request = {"model": SONNET, "max_tokens": 1024, "messages": say("Why is the sky blue?")}
    whole = client.messages.create(**request)

    with client.messages.stream(**request) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()

    assert len(pieces) > 5, "it came in pieces"
    assert "".join(pieces) == final.content[0].text == whole.content[0].text
    assert final.model == SONNET
    assert final.id.startswith("msg_")
    assert final.stop_reason == whole.stop_reason == "end_turn"
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_the_events_of_a_stream_come_in_order(client, say):
    with client.messages.with_streaming_response.create(
        model=SONNET, max_tokens=1024, messages=say("Count to 20."), stream=True
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        lines = list(answer.iter_lines())

    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert names == [event["type"] for event in events], "a name for each, and the right one"
    order = [name for name in names if name != "ping"]
    deltas = order.count("content_block_delta")
    assert deltas >= 20
    assert order == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * deltas,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start = events[0]["message"]
    assert start["content"] == [] and start["stop_reason"] is None and start["usage"]["input_tokens"] > 0
    assert [event["index"] for event in events if "index" in event] == [0] * (deltas + 2)
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == " ".join(str(number) for number in range(1, 21))
    last = events[-2]
    assert last["delta"] == {"stop_reason": "end_turn", "stop_sequence": None} | last["delta"]
    assert last["usage"]["output_tokens"] > 0


def test_letters_of_every_script_come_back_unchanged(client, say):
    text = 'Zürich, Αθήνα, Київ, 東京, مرحبا, 🌊👩‍👩‍👧, "quoted" \\ and a tab\there'
    with client.messages.stream(model=SONNET, max_tokens=1024, messages=say(f"repeat: {text}")) as stream:
        streamed = stream.get_final_text()
    whole = client.messages.create(model=SONNET, max_tokens=1024, messages=say(f"repeat: {text}"))

    assert streamed == whole.content[0].text == text


def test_max_tokens_ends_an_answer(client, say):
    message = client.messages.create(model=SONNET, max_tokens=5, messages=say("Count to 100."))

    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 5


def test_a_stop_sequence_ends_an_answer_and_is_named(client, say):
    request = {"model": SONNET, "max_tokens": 1024, "messages": say("Count to 20."), "stop_sequences": ["7"]}
    message = client.messages.create(**request)
    with client.messages.stream(**request) as stream:
        streamed = stream.get_final_message()

    for answer in (message, streamed):
        assert answer.content[0].text.strip() == "1 2 3 4 5 6"
        assert answer.stop_reason == "stop_sequence"
        assert answer.stop_sequence == "7"


def test_a_system_prompt_is_sent_along(client, say):
    request = {"model": SONNET, "max_tokens": 64, "messages": say("repeat: yes")}
    without = client.messages.create(**request)
    text = client.messages.create(**request, system="You are terse. " * 20)
    blocks = client.messages.create(
        **request,
        system=[
            {"type": "text", "text": "You are terse. " * 10},
            {"type": "text", "text": "You are kind. " * 10, "cache_control": {"type": "ephemeral"}},
        ],
    )

    assert text.content[0].text == blocks.content[0].text == "yes"
    assert text.usage.input_tokens > without.usage.input_tokens + 30
    assert blocks.usage.input_tokens > without.usage.input_tokens + 30


def test_a_conversation_is_continued(client):
    message = client.messages.create(
        model=SONNET,
        max_tokens=64,
        messages=[
            {"role": "user", "content": "repeat: one"},
            {"role": "assistant", "content": "one"},
            {"role": "user", "content": [{"type": "text", "text": "repeat: two"}]},
        ],
    )

    assert message.content[0].text == "two"


def test_an_image_reaches_the_model(client):
    message = client.messages.create(
        model=SONNET,
        max_tokens=1024,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    {"type": "text", "text": "What is on it?"},
                ],
            }
        ],
    )

    size = len(base64.b64decode(PIXEL))
    assert f"I got an image of type image/png, {size} bytes." in message.content[0].text


def test_an_image_by_address_reaches_the_model(client):
    message = client.messages.create(
        model=SONNET,
        max_tokens=1024,
        messages=[
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}}],
            }
        ],
    )

    assert "I got an image at https://example.com/cat.png." in message.content[0].text


def test_sampling_fields_are_accepted(client, say):
    message = client.messages.create(
        model=SONNET,
        max_tokens=64,
        messages=say("repeat: ok"),
        extra_body={"temperature": 0, "top_p": 0.9},
        metadata={"user_id": "somebody"},
    )

    assert message.content[0].text == "ok"


def test_every_answer_says_its_request_id_and_provider(client, say):
    first = client.messages.with_raw_response.create(model=SONNET, max_tokens=64, messages=say("Hi"))
    second = client.messages.with_raw_response.create(model=SONNET, max_tokens=64, messages=say("Hi"))

    assert first.headers["x-gatewayz-provider"] == "simulator"
    assert first.headers["content-type"].startswith("application/json")
    assert first.headers["request-id"] and second.headers["request-id"]
    assert first.headers["request-id"] != second.headers["request-id"]
    assert first.parse()._request_id == first.headers["request-id"]


def test_tokens_are_counted_before_a_message_is_sent(client, say):
    short = client.messages.count_tokens(model=SONNET, messages=say("Hello"))
    long = client.messages.count_tokens(model=SONNET, messages=say("Hello there, how are you today? " * 50))
    with_more = client.messages.count_tokens(
        model=SONNET,
        messages=say("Hello"),
        system="You are a helpful assistant.",
        tools=[{"name": "get_weather", "description": "The weather", "input_schema": {"type": "object"}}],
    )

    assert 0 < short.input_tokens < 30
    assert 300 < long.input_tokens < 1000
    assert short.input_tokens < with_more.input_tokens < long.input_tokens
