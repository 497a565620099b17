"""Many requests at once, and the counts in /metrics."""

import asyncio

import anthropic
import pytest
from conftest import SONNET

STREAMS = 50


def test_concurrent_streams_are_never_mixed_up(gateway):
    async def one(client, number):
        words = " ".join(f"{number}-{word}" for word in range(40))
        async with client.messages.stream(
            model=SONNET, max_tokens=4096, messages=[{"role": "user", "content": f"repeat: {words}"}]
        ) as stream:
            pieces = [piece async for piece in stream.text_stream]
            final = await stream.get_final_message()
        assert "".join(pieces) == words == final.content[0].text
        assert final.stop_reason == "end_turn"
        return final

    async def all_of_them():
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as client:
            return await asyncio.gather(*(one(client, number) for number in range(STREAMS)))

    before = gateway.metrics()
    finals = asyncio.run(all_of_them())
    after = gateway.metrics()

    assert len({final.id for final in finals}) == STREAMS
    assert grown(before, after, "model_requests_total", SONNET) == STREAMS
    assert grown(before, after, "model_errors_total", SONNET) == 0
    assert grown(before, after, "model_latency_ms_count", SONNET) == STREAMS
    assert grown(before, after, "model_tokens_used_total", SONNET) == sum(map(tokens, finals))


def test_the_counts_are_those_of_the_client(gateway, client, say):
    before = gateway.metrics()
    used = 0
    for at in range(7):
        used += tokens(client.messages.create(model="gpt-5", max_tokens=64, messages=say(f"repeat: {at}")))
    for at in range(5):
        with client.messages.stream(model="gpt-5", max_tokens=64, messages=say(f"repeat: {at}")) as stream:
            used += tokens(stream.get_final_message())
    for _ in range(3):
        with pytest.raises(anthropic.OverloadedError):
            client.messages.create(model="simulate-overloaded", max_tokens=64, messages=say("Hi"))
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="no-such-model", max_tokens=64, messages=say("Hi"))
    after = gateway.metrics()

    assert grown(before, after, "model_requests_total", "gpt-5") == 12
    assert grown(before, after, "model_errors_total", "gpt-5") == 0
    assert grown(before, after, "model_latency_ms_count", "gpt-5") == 12
    assert grown(before, after, "model_tokens_used_total", "gpt-5") == used
    assert grown(before, after, "model_requests_total", "simulate-overloaded") == 3
    assert grown(before, after, "model_errors_total", "simulate-overloaded") == 3
    assert grown(before, after, "model_latency_ms_count", "simulate-overloaded") == 0
    assert not any("no-such-model" in name for name in after), "no label is a client's text"


def test_a_model_is_counted_from_zero(gateway):
    # Nobody asks for it in these tests.
    samples = gateway.metrics()

    for name in ("model_requests_total", "model_errors_total", "model_tokens_used_total", "model_latency_ms_count"):
        assert samples[f'{name}{{model="gemini-2.5-flash"}}'] == 0


def test_metrics_are_for_the_holder_of_the_token_only(gateway):
    from harness import fetch

    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {gateway.key}"},
        {"x-api-key": gateway.key},
        {"Authorization": gateway.metrics_token},
    ):
        status, answer, body = fetch(f"{gateway.url}/metrics", headers)
        assert status == 401, headers
        assert answer["www-authenticate"].startswith("Bearer")
        assert b"model_requests_total" not in body


def grown(before, after, name, model):
    sample = f'{name}{{model="{model}"}}'
    return after[sample] - before.get(sample, 0)


def tokens(message):
    usage = message.usage
    return (
        usage.input_tokens
        + (usage.cache_read_input_tokens or 0)
        + (usage.cache_creation_input_tokens or 0)
        + usage.output_tokens
    )
