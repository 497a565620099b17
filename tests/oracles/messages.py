"""Streams put together: Messages events to the message that they tell, chunks to the completion that they are."""

from __future__ import annotations

import json
from typing import Any

# Stands for the input of a tool call whose arguments broke off: each SDK reads as much of it as it can.
BROKEN_OFF = {"": "broken off"}


class NoCompletion(Exception):
    """Why there is no completion that says the same as these chunks."""


def frames(stream: bytes) -> list[tuple[str | None, str]]:
    """Name and data of each server-sent event."""
    found = []
    text = stream.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    for frame in text.split("\n\n"):
        name, data = None, []
        for line in frame.split("\n"):
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)
        if any(data):
            found.append((name, "\n".join(data)))
    return found


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a Messages stream."""
    return [json.loads(data) for _, data in frames(stream)]


def message(stream: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that the events tell, as the Messages documentation says to put it together."""
    told: dict[str, Any] = {}
    fragments: dict[int, str] = {}
    for event in stream:
        match event["type"]:
            case "message_start":
                told = json.loads(json.dumps(event["message"]))
            case "content_block_start":
                told["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                _append(told["content"][event["index"]], event, fragments)
            case "content_block_stop" if event["index"] in fragments:
                told["content"][event["index"]]["input"] = _input(fragments[event["index"]])
            case "message_delta":
                told |= {key: value for key, value in event["delta"].items()}
                told["usage"] |= {key: value for key, value in event["usage"].items() if value is not None}
    return told


def _append(block: dict[str, Any], event: dict[str, Any], fragments: dict[int, str]) -> None:
    delta = event["delta"]
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            fragments[event["index"]] = fragments.get(event["index"], "") + delta["partial_json"]
        case kind:
            raise ValueError(f"a delta of a kind that is not known here: {kind}")


def _input(arguments: str) -> Any:
    if not arguments:
        return {}
    try:
        return json.loads(arguments)
    except ValueError:
        return BROKEN_OFF


def completion(stream: bytes) -> dict[str, Any]:
    """The completion that a provider would have answered had it not been asked for a stream."""
    whole: dict[str, Any] = {"object": "chat.completion"}
    choice: dict[str, Any] = {"index": 0}
    told: dict[str, Any] = {"role": "assistant", "content": None}
    calls: list[dict[str, Any]] = []
    done = False
    for _, data in frames(stream):
        try:
            chunk = json.loads(data)
        except ValueError:
            done = done or data.strip() == "[DONE]"
            if not done:
                raise NoCompletion("a chunk is no JSON") from None
            continue
        # After the end, some say their usage, and others anything.
        if done:
            whole |= {key: chunk[key] for key in ("usage",) if isinstance(chunk, dict) and chunk.get(key)}
            continue
        if not isinstance(chunk, dict) or chunk.get("error") or chunk.get("object") == "error":
            raise NoCompletion("the provider fails in the middle")
        whole |= {key: value for key, value in chunk.items() if key not in ("choices", "object") and value is not None}
        for part in chunk.get("choices") or []:
            if part.get("index") in (0, None):
                _merge_choice(choice, part)
                _merge_delta(told, calls, part.get("delta") or part.get("message") or {})
    if not choice.get("finish_reason"):
        raise NoCompletion("no chunk says why the answer ends")
    if calls:
        told["tool_calls"] = calls
        if any(_input(call["function"]["arguments"]) is BROKEN_OFF for call in calls):
            raise NoCompletion("cut off inside a tool call, which an answer without a stream leaves out")
    return whole | {"choices": [choice | {"message": told}]}


def _merge_choice(choice: dict[str, Any], part: dict[str, Any]) -> None:
    for key, value in part.items():
        # Why the answer ends is said once; a server that says it again does not change it.
        if key not in ("delta", "message", "index") and value is not None:
            choice.setdefault(key, value)


def _merge_delta(told: dict[str, Any], calls: list[dict[str, Any]], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if value is None or key == "role":
            continue
        if key == "tool_calls":
            for part in value:
                _merge_call(calls, part)
        elif key == "reasoning_details":
            for detail in value:
                _merge_detail(told.setdefault(key, []), detail)
        elif isinstance(value, str):
            told[key] = (told.get(key) or "") + value
        else:
            told[key] = value


def _merge_call(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    function = part.get("function") or {}
    index, id_, name = part.get("index"), part.get("id") or None, function.get("name") or None
    call = _call(calls, index, id_, name)
    if call is None:
        call = {"index": index, "id": None, "type": "function", "function": {"name": None, "arguments": ""}}
        calls.append(call)
    call["id"] = call["id"] or id_
    call["function"]["name"] = call["function"]["name"] or name
    arguments, before = function.get("arguments"), call["function"]["arguments"]
    if isinstance(arguments, str):
        # Said again as a whole, they are no more than before.
        call["function"]["arguments"] = before if _is_whole(before) and arguments == before else before + arguments
    elif arguments is not None:
        call["function"]["arguments"] = json.dumps(arguments)


def _call(calls: list[dict[str, Any]], index: int | None, id_: str | None, name: str | None) -> dict[str, Any] | None:
    """The call that a fragment goes on with: servers count them by an index, by their ids, or not at all."""
    if index is None:
        same_id = [call for call in calls if id_ and call["id"] == id_]
        return same_id[0] if same_id else calls[-1] if calls and not id_ and not name else None
    call = next((call for call in reversed(calls) if call["index"] == index), None)
    if call is None or not name:
        return call
    # An index that is 0 for all calls: one with a name begins another.
    if id_ and call["id"] not in (None, id_):
        return next((call for call in calls if call["id"] == id_ and call["index"] == index), None)
    begins_anew = not id_ and call["id"] is None and _is_whole(call["function"]["arguments"])
    return None if begins_anew else call


def _is_whole(arguments: str) -> bool:
    return bool(arguments.strip()) and _input(arguments) is not BROKEN_OFF


def _merge_detail(details: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Fragments of one detail follow each other with the same index and type."""
    last = details[-1] if details else None
    if last is None or "index" not in part or any(last.get(key) != part.get(key) for key in ("index", "type")):
        details.append(dict(part))
        return
    for key, value in part.items():
        if key in ("text", "summary", "data") and isinstance(last.get(key), str) and isinstance(value, str):
            last[key] += value
        elif value is not None:
            last[key] = value
