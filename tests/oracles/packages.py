"""What the vendors' packages say a request, an answer and an event may be; and what they leave out, by name.

The two tables here are the only places where something is let through that a package does not list.
"""

from __future__ import annotations

from typing import Any

from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from anthropic.types.shared.error_details import ErrorDetails
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from openrouter.components import ChatRequest

from strict import Refused, Strict

# Events and types of errors that Anthropic documents and its packages do not list.
DOCUMENTED_EVENTS = {"ping"}
DOCUMENTED_ERRORS = {"request_too_large"}

# Fields of requests that a server documents and the package of its dialect does not list, by the class that they
# are a field of. A request to the dialect may have them; nothing else.
OPEN_SERVERS_REQUEST = {
    # Sampling parameters: vLLM, SGLang, llama.cpp.
    "top_k": int,
    # vLLM and SGLang: go on with the last assistant message.
    "continue_final_message": bool,
    "add_generation_prompt": bool,
}
OPEN_SERVERS_ASSISTANT = {
    # DeepSeek, vLLM, SGLang: the reasoning of earlier turns.
    "reasoning_content": str,
}
EXTENSIONS: dict[str, dict[str, dict[str, Any]]] = {
    # OpenRouter's guide to reasoning tokens: a budget in place of an effort.
    "openrouter": {"ChatRequestReasoning": {"max_tokens": int}},
    "openai": {},
    "generic": {"request": OPEN_SERVERS_REQUEST, "ChatCompletionAssistantMessageParam": OPEN_SERVERS_ASSISTANT},
    "featherless": {"request": OPEN_SERVERS_REQUEST, "ChatCompletionAssistantMessageParam": OPEN_SERVERS_ASSISTANT},
}
PACKAGES = {"openrouter": "openrouter", "openai": "openai", "generic": "openai", "featherless": "openai"}

# Where any key may stand: what is under these is the user's own.
FREE = {"parameters", "schema", "input"}


class Requests:
    """What a dialect's package takes as a request."""

    def __init__(self, dialect: str):
        extensions = EXTENSIONS[dialect]
        if PACKAGES[dialect] == "openrouter":
            self._streamed = self._whole = Strict(ChatRequest, extensions)
            return
        classes = {key: value for key, value in extensions.items() if key != "request"}
        own = extensions.get("request", {})

        def strict(type_: Any) -> Strict:
            return Strict(type_, classes | ({type_.__name__: own} if own else {}))

        self._whole = strict(CompletionCreateParamsNonStreaming)
        self._streamed = strict(CompletionCreateParamsStreaming)

    def check(self, body: dict[str, Any]) -> None:
        """Raises `Refused` unless the package's types take the body."""
        (self._streamed if body.get("stream") else self._whole).check(body)


class Answers:
    """What Anthropic's package takes as an answer."""

    def __init__(self):
        self._message = Strict(Message)
        self._event = Strict(RawMessageStreamEvent)
        self._error = Strict(ErrorResponse)
        self._details = Strict(ErrorDetails)
        self._count = Strict(MessageTokensCount)
        self._model = Strict(ModelInfo)

    def message(self, value: Any) -> None:
        self._message.check(value)

    def count(self, value: Any) -> None:
        self._count.check(value)

    def model(self, value: Any) -> None:
        self._model.check(value)

    def models(self, value: Any) -> None:
        """A page: the SDKs have no type of it but its items and where they begin and end."""
        if set(value) != {"data", "first_id", "last_id", "has_more"} or not isinstance(value["has_more"], bool):
            raise Refused(f"has the keys {', '.join(value)}, and has_more is {value.get('has_more')}")
        for model in value["data"]:
            self.model(model)
        ends = [value["data"][place]["id"] if value["data"] else None for place in (0, -1)]
        if ends != [value["first_id"], value["last_id"]]:
            raise Refused(f"first_id and last_id are {value['first_id']} and {value['last_id']}")

    def event(self, value: Any) -> None:
        kind = value.get("type")
        if kind in DOCUMENTED_EVENTS:
            if value != {"type": kind}:
                raise Refused(f"{kind}: has nothing but a type (seen: {value})")
        elif kind == "error":
            self.error(value)
        else:
            self._event.check(value)

    def error(self, value: Any) -> None:
        value = {**value, "error": dict(value["error"])} if isinstance(value.get("error"), dict) else value
        if isinstance(value.get("error"), dict):
            error = value["error"]
            if error.get("type") in DOCUMENTED_ERRORS:
                error["type"] = "api_error"
            # The SDKs read `error.details`, by types of their own.
            details = error.pop("details", None)
            if details is not None:
                self._details.check(details)
        self._error.check(value)


def misspelt(value: Any):
    """Copies of a JSON value, each with one key misspelt, and where."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            for path, changed in misspelt(item):
                yield f"{place}.{path}", [*value[:place], changed, *value[place + 1 :]]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, {name if name != key else f"{key}_x": item for name, item in value.items()}
            if key not in FREE:
                for path, changed in misspelt(item):
                    yield f"{key}.{path}", {**value, key: changed}
