"""Tools: calls, results, several at once, and the SDK's own loop."""

import anthropic
import pytest
from conftest import SONNET

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city"}},
        "required": ["city"],
    },
}
TIME = {
    "name": "get_time",
    "description": "The time in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def request(text, **more):
    return {
        "model": SONNET,
        "max_tokens": 1024,
        "tools": [WEATHER, TIME],
        "messages": [{"role": "user", "content": text}],
    } | more


def calls(message):
    return [block for block in message.content if block.type == "tool_use"]


@pytest.fixture(params=["whole", "streamed"])
def ask(client, request):
    """Sends a request, plain or streamed: both must come to the same."""
    if request.param == "whole":
        return lambda **fields: client.messages.create(**fields)

    def stream(**fields):
        with client.messages.stream(**fields) as events:
            return events.get_final_message()

    return stream


def test_a_tool_call_goes_round(ask):
    question = request("What is the weather in Paris?")
    called = ask(**question)

    assert called.stop_reason == "tool_use"
    (call,) = calls(called)
    assert call.name == "get_weather"
    assert call.input == {"city": "Paris"}
    assert call.id

    question["messages"] += [
        {"role": "assistant", "content": called.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees and sunny"}],
        },
    ]
    answer = ask(**question)

    assert answer.stop_reason == "end_turn"
    assert "18 degrees and sunny" in answer.content[0].text


def test_parallel_calls_keep_their_inputs_and_results_apart(ask):
    question = request("What is the weather in Paris, Tokyo and Lima?")
    called = ask(**question)

    assert called.stop_reason == "tool_use"
    several = calls(called)
    assert [call.input for call in several] == [{"city": "Paris"}, {"city": "Tokyo"}, {"city": "Lima"}]
    assert len({call.id for call in several}) == 3

    results = []
    for at, call in enumerate(several, start=11):
        text = {"type": "text", "text": f"{call.input['city']}: {at} degrees"}
        results.append({"type": "tool_result", "tool_use_id": call.id, "content": [text]})
    question["messages"] += [
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": results},
    ]
    answer = ask(**question)

    for said in ("Paris: 11 degrees", "Tokyo: 12 degrees", "Lima: 13 degrees"):
        assert said in answer.content[0].text


def test_interleaved_fragments_become_whole_calls(ask):
    called = ask(**request("What is the weather in Paris?", model="simulate-interleaved"))

    assert [call.name for call in calls(called)] == ["get_weather", "get_time"]
    assert [call.input for call in calls(called)] == [{"city": "Paris"}] * 2


def test_parallel_calls_can_be_switched_off(ask):
    called = ask(
        **request(
            "What is the weather in Paris, Tokyo and Lima?",
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        )
    )

    assert len(calls(called)) == 1


def test_tool_choice_is_obeyed(ask):
    named = ask(**request("Hello!", tool_choice={"type": "tool", "name": "get_time"}))
    any_of_them = ask(**request("Hello!", tool_choice={"type": "any"}))
    none = ask(**request("What is the weather in Paris?", tool_choice={"type": "none"}))

    assert [call.name for call in calls(named)] == ["get_time"]
    assert len(calls(any_of_them)) == 1
    assert calls(none) == [] and none.stop_reason == "end_turn"


def test_a_failed_tool_says_so(ask):
    answer = ask(
        **request(
            "",
            messages=[
                {"role": "user", "content": "What is the weather in Paris?"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "I will look."},
                        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": "no such city"}
                    ],
                },
            ],
        )
    )

    assert "Error: no such city" in answer.content[0].text


def test_a_result_without_its_call_is_refused(client):
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.create(
            **request(
                "",
                messages=[
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "18"}]}
                ],
            )
        )

    assert refused.value.api_message.startswith("messages.0.content.0")


def test_the_tool_runner_of_the_sdk_runs_a_tool(client):
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Name of the city
        """
        return f"21 degrees in {city}"

    runner = client.beta.messages.tool_runner(
        model=SONNET,
        max_tokens=1024,
        tools=[get_weather],
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
    )

    assert "21 degrees in Oslo" in runner.until_done().content[0].text
