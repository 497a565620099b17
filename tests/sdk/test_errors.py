"""Every failure is one of the SDK's exceptions, with the type and the words of Anthropic's API."""

import time

import anthropic
import pytest
from conftest import SONNET

# The provider's failure (a mood of the simulator), and what becomes of it.
FAILURES = [
    ("simulate-invalid", anthropic.BadRequestError, 400, "invalid_request_error"),
    ("simulate-context", anthropic.BadRequestError, 400, "invalid_request_error"),
    ("simulate-moderated", anthropic.PermissionDeniedError, 403, "permission_error"),
    ("simulate-not-found", anthropic.NotFoundError, 404, "not_found_error"),
    ("simulate-rate-limit-7", anthropic.RateLimitError, 429, "rate_limit_error"),
    ("simulate-error", anthropic.InternalServerError, 502, "api_error"),
    ("simulate-unauthorised", anthropic.InternalServerError, 502, "api_error"),
    ("simulate-forbidden", anthropic.InternalServerError, 502, "api_error"),
    ("simulate-no-credit", anthropic.InternalServerError, 502, "api_error"),
    ("simulate-error-in-200", anthropic.APIStatusError, None, None),
    ("simulate-timeout", anthropic.GatewayTimeoutError, 504, "timeout_error"),
    ("simulate-unavailable", anthropic.OverloadedError, 529, "overloaded_error"),
    ("simulate-overloaded", anthropic.OverloadedError, 529, "overloaded_error"),
    ("simulate-bad-gateway", anthropic.InternalServerError, 502, "api_error"),
    ("simulate-cold", anthropic.OverloadedError, 529, "overloaded_error"),
]


def check(error, status, kind):
    assert error.status_code == status or (status is None and error.status_code >= 400)
    assert error.type == kind or (kind is None and error.type)
    assert error.body["type"] == "error"
    assert error.api_message
    assert error.request_id == error.response.headers["request-id"] == error.body["request_id"]
    assert error.response.headers["x-should-retry"] in ("true", "false")
    for secret in ("sk-sim", "http://", "https://", "127.0.0.1"):
        assert secret not in error.message, "neither a key nor an address of a provider"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "exception", "status", "kind"), FAILURES, ids=[case[0] for case in FAILURES])
def test_a_failure_of_the_provider(client, say, model, exception, status, kind, stream):
    with pytest.raises(exception) as raised:
        client.messages.create(model=model, max_tokens=64, messages=say("Hi"), stream=stream)

    check(raised.value, status, kind)


def test_a_rate_limit_says_when_to_come_back(client, say):
    with pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(model="simulate-rate-limit-7", max_tokens=64, messages=say("Hi"))

    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.response.headers["x-should-retry"] == "true"


def test_a_limit_of_a_key_says_when_to_come_back_and_means_it(gateway, say):
    with anthropic.Anthropic(base_url=gateway.url, api_key="limited", max_retries=0) as limited:

        def ask():
            return limited.messages.with_raw_response.create(model=SONNET, max_tokens=8, messages=say("repeat: yes"))

        with pytest.raises(anthropic.RateLimitError) as raised:
            # One comes back in each second.
            for _ in range(200):
                left = int(ask().headers["anthropic-ratelimit-requests-remaining"])

        check(raised.value, 429, "rate_limit_error")
        headers = raised.value.response.headers
        assert left == 0
        assert (headers["anthropic-ratelimit-requests-limit"], headers["retry-after"]) == ("60", "1")
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        assert headers["x-should-retry"] == "true"
        time.sleep(int(headers["retry-after"]))
        assert ask().parse().content[0].text == "yes"


def test_a_full_context_is_worded_so_that_clients_compact(client, say):
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(model="simulate-context", max_tokens=64, messages=say("Hi"))

    assert raised.value.api_message == "prompt is too long: 9001 tokens > 8192 maximum"


def test_a_request_that_is_wrong_is_refused_with_its_path(client, say):
    for fields, path in [
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"extra_body": {"temperature": 7}}, "temperature"),
    ]:
        with pytest.raises(anthropic.BadRequestError) as raised:
            client.messages.create(**({"model": SONNET, "max_tokens": 64, "messages": say("Hi")} | fields))

        check(raised.value, 400, "invalid_request_error")
        assert raised.value.api_message.startswith(path)
        assert raised.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("key", ["wrong", "x" * 300])
def test_a_wrong_key_is_refused(gateway, say, key):
    with anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError) as raised:
            stranger.messages.create(model=SONNET, max_tokens=64, messages=say("Hi"))

    check(raised.value, 401, "authentication_error")


def test_a_key_may_come_as_a_bearer_token(gateway, say):
    with anthropic.Anthropic(base_url=gateway.url, auth_token=gateway.key, max_retries=0) as client:
        answer = client.messages.create(model=SONNET, max_tokens=64, messages=say("repeat: yes"))

    assert answer.content[0].text == "yes"


def test_an_unknown_model_is_not_found(client, say):
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.create(model="no-such-model", max_tokens=64, messages=say("Hi"))

    check(raised.value, 404, "not_found_error")
    assert raised.value.api_message == "model: no-such-model"


@pytest.mark.parametrize("model", ["simulate-cut-3", "simulate-malformed-3", "simulate-error-in-stream-3"])
def test_a_stream_that_breaks_off_raises(client, say, model):
    seen = []
    with pytest.raises(anthropic.APIStatusError) as raised:
        with client.messages.stream(model=model, max_tokens=1024, messages=say("Count to 50.")) as stream:
            seen.extend(event.type for event in stream)

    assert raised.value.type in ("api_error", "overloaded_error")
    assert "text" in seen, "what came before it was passed on"
    assert "message_stop" not in seen


@pytest.mark.parametrize("model", ["simulate-cut-3", "simulate-malformed-3"])
def test_an_answer_that_breaks_off_raises(client, say, model):
    with pytest.raises(anthropic.InternalServerError) as raised:
        client.messages.create(model=model, max_tokens=1024, messages=say("Count to 50."))

    check(raised.value, 502, "api_error")


def test_the_sdk_retries_what_may_succeed(gateway, say):
    with anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=8) as patient:
        # Every second request fails, whoever retries it.
        answers = [
            patient.messages.create(model="simulate-flaky-50", max_tokens=64, messages=say(f"repeat: {at}"))
            for at in range(4)
        ]

    assert [answer.content[0].text for answer in answers] == ["0", "1", "2", "3"]
