"""The oracles that this project did not write: the official SDKs and their types, over all golden cases, through a
real gateway and a provider that replays the cases' bytes. See `run`.

    oracles.py GATEWAYZ_BINARY GOLDEN_FOLDER NODE_FOLDER
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anthropic

import messages
from cases import FOLDERS, Case, find
from gateways import UPSTREAM_MODEL, Gateways
from harness import end_with_parent, fetch
from messages import BROKEN_OFF, NoCompletion
from packages import PACKAGES, Answers, Requests, misspelt
from provider import Provider
from report import Report, difference
from strict import Refused

AT_ONCE = 8
REQUEST_SECONDS = 30
NODE_SECONDS = 120

MESSAGE_ID = re.compile(r"msg_[A-Za-z0-9]{24}")
OWN_TOOL_ID = re.compile(r"toolu_[A-Za-z0-9]{24}")
# Where in a body a mistake is; the name of the model, which is the case's here, moves it.
PLACE = re.compile(r" at line \d+ column \d+")


def main() -> int:
    binary, golden, node = sys.argv[1:]
    cases = find(Path(golden))
    report = Report()
    found = report.group("golden cases")
    for folder in FOLDERS:
        found.case(folder, None if cases[folder] else f"there is no case in {folder}/: nothing was checked there")
    found.note = ", ".join(f"{len(cases[folder])} {folder}" for folder in FOLDERS)
    every = [case for folder in FOLDERS for case in cases[folder]]

    whole = report.group("run")
    # So that what was started is ended and what was written is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="gatewayz-oracles-") as scratch,
            Provider(every) as provider,
            Gateways(binary, Path(scratch), provider.url, every) as gateways,
        ):
            run = Run(report, provider, gateways, node, cases)
            run.streams()
            run.responses()
            run.requests()
            run.types()
            whole.case("gateways", gateways.complaints())
    except Exception:
        whole.case("all that was to be run", traceback.format_exc())
    return 0 if report.show() else 1


class Run:
    def __init__(self, report: Report, provider: Provider, gateways: Gateways, node: str, cases: dict[str, list[Case]]):
        self.report, self.provider, self.gateways, self.node, self.cases = report, provider, gateways, node, cases
        self.answers = Answers()
        # Bodies of errors that gateways answered, by case.
        self.errors: list[tuple[str, Any]] = []
        # Bodies that gateways sent to providers, with the dialect.
        self.sent: list[tuple[Case, dict[str, Any]]] = []

    # --- Streams ---

    def streams(self) -> None:
        cases = self.cases["stream"]
        typescript = self._typescript(cases)
        streamed: dict[str, Any] = {}
        for name, told in {
            "Python SDK": self._python(cases, beta=False),
            "Python SDK, beta": self._python(cases, beta=True),
            "TypeScript SDK": typescript[False],
            "TypeScript SDK, beta": typescript[True],
        }.items():
            group = self.report.group(f"streams, {name} {self._version(name)}")
            for case in cases:
                group.case(case.name, expected(case, told[case.id]))
            streamed = streamed or told
        self._altered(cases, streamed)
        group = self.report.group("streams, event for event as the golden case")
        for case, problem in at_once(cases, self._as_golden):
            group.case(case.name, problem)
        self._without_stream(cases, streamed)

    def _altered(self, cases: list[Case], streamed: dict[str, Any]) -> None:
        """That the comparison above sees anything: each message with one thing changed."""
        group = self.report.group("streams: an altered message is noticed")
        for case in cases:
            told = streamed[case.id].get("message")
            if not told or expected(case, streamed[case.id]):
                continue
            content, usage = told["content"], told["usage"]
            changes = {
                "stop_reason": {"stop_reason": "pause_turn"},
                "usage": {"usage": usage | {"output_tokens": usage["output_tokens"] + 1}},
                "block": {"content": content[:-1] if content else [{"type": "text", "text": "More."}]},
                "order": {"content": content[1:] + content[:1]} if len(content) > 1 else {"id": "msg_1"},
            }
            for what, change in changes.items():
                noticed = expected(case, {"message": told | change})
                group.case(f"{case.name}, {what}", None if noticed else "taken though altered")

    def _version(self, name: str) -> str:
        if name.startswith("Python"):
            return version("anthropic")
        package = Path(self.node) / "node_modules/@anthropic-ai/sdk/package.json"
        return json.loads(package.read_text())["version"]

    def _client(self, case: Case) -> anthropic.Anthropic:
        gateway = self.gateways.of(case)
        return anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0, timeout=REQUEST_SECONDS)

    def _python(self, cases: list[Case], beta: bool) -> dict[str, Any]:
        def told(case: Case) -> dict[str, Any]:
            with self._client(case) as client:
                with (client.beta.messages if beta else client.messages).stream(**asking(case)) as stream:
                    return {"message": stream.get_final_message().to_dict(mode="json")}

        return {case.id: answer for case, answer in at_once(cases, sdk(told))}

    def _typescript(self, cases: list[Case]) -> dict[bool, dict[str, Any]]:
        jobs = []
        for case in cases:
            gateway = self.gateways.of(case)
            job = {"url": gateway.url, "key": gateway.key, "request": asking(case)}
            jobs += [job | {"name": f"{case.id} {beta}", "beta": beta} for beta in (False, True)]
        process = subprocess.run(
            ["node", str(Path(__file__).with_name("streams.mjs"))],
            input=json.dumps({"sdk": f"{self.node}/package.json", "jobs": jobs}),
            capture_output=True,
            text=True,
            timeout=NODE_SECONDS,
            preexec_fn=end_with_parent,
        )
        missing = {"crash": f"node wrote nothing of this case and ended with {process.returncode}: {process.stderr}"}
        told = {line["name"]: line for line in map(json.loads, process.stdout.splitlines())}
        return {beta: {case.id: told.get(f"{case.id} {beta}", missing) for case in cases} for beta in (False, True)}

    def _as_golden(self, case: Case) -> str | None:
        """The raw events of a live stream, ids and the estimate of the input aside."""
        status, headers, body = self._post(case, asking(case) | {"stream": True})
        if case.has("error.json"):
            return self._failed(case, status, headers, body)
        if status != 200 or not headers["content-type"].startswith("text/event-stream"):
            return f"expected a stream, seen status {status}: {body[:500]!r}"
        unnamed = [data for name, data in messages.frames(body) if name != json.loads(data)["type"]]
        if unnamed:
            return f"the name of the event is not its type: {unnamed[0]}"
        seen, wanted = messages.events(body), messages.events(case.read("anthropic.sse"))
        problems = [refusal(lambda event=event: self.answers.event(event)) for event in seen]
        problems = [problem for problem in problems if problem]
        return "\n".join(problems) or difference(settled(case, wanted, wanted), settled(case, seen, wanted, live=True))

    def _without_stream(self, cases: list[Case], streamed: dict[str, Any]) -> None:
        """What the stream helper put together is what is answered without a stream."""
        group = self.report.group("streams, as the answer without a stream")
        sensible = []
        for case in cases:
            reason = self._no_completion(case)
            if reason:
                group.skip(case.name, reason)
            else:
                sensible.append(case)

        def told(case: Case) -> dict[str, Any]:
            with self._client(case) as client:
                return {"message": client.messages.create(**asking(case)).to_dict(mode="json")}

        joined = 0
        for case, answer in at_once(sensible, sdk(told)):
            if "message" not in answer or "message" not in streamed[case.id]:
                group.case(case.name, f"expected a message, seen {answer} and as a stream {streamed[case.id]}")
                continue
            whole, stream = comparable(answer["message"]), comparable(streamed[case.id]["message"])
            kinds = [block["type"] for block in stream["content"] if block["type"] != "tool_use"]
            order = ["thinking", "text", "tool_use"]
            places = [order.index(block["type"]) for block in stream["content"] if block["type"] in order]
            if len(set(kinds)) < len(kinds) or places != sorted(places):
                joined += 1
                whole, stream = in_one_order(whole), in_one_order(stream)
            with_own_ids(whole["content"], stream["content"], either=True)
            group.case(case.name, difference(whole, stream))
        if joined:
            group.note = f"{joined} with several blocks of a kind: these joined"

    def _no_completion(self, case: Case) -> str | None:
        if case.has("error.json") or messages.events(case.read("anthropic.sse"))[-1]["type"] == "error":
            return "ends in an error"
        if case.has("openai.sse"):
            try:
                messages.completion(case.read("openai.sse"))
            except NoCompletion as reason:
                return str(reason)
        return None

    # --- Answers and errors ---

    def responses(self) -> None:
        def told(case: Case) -> dict[str, Any]:
            with self._client(case) as client:
                return {"message": client.messages.create(**asking(case)).to_dict(mode="json")}

        group = self.report.group("responses, Python SDK")
        for case, answer in at_once(self.cases["response"], sdk(told)):
            group.case(case.name, expected(case, answer))
        group = self.report.group("errors, Python SDK")
        for case, answer in at_once(self.cases["error"], sdk(told)):
            group.case(case.name, expected(case, answer))
        group = self.report.group("errors, status, headers and body")
        failing = [case for folder in ("error", "response") for case in self.cases[folder] if case.has("error.json")]
        for case, problem in at_once(failing, lambda case: self._failed(case, *self._post(case, asking(case)))):
            group.case(case.name, problem)

    def _failed(self, case: Case, status: int, headers: Any, body: bytes) -> str | None:
        """An answer with the status of an error against `CASE.error.json`."""
        wanted = case.json("error.json")
        try:
            answer = json.loads(body)
        except ValueError:
            return f"expected an error in JSON, seen status {status}: {body[:500]!r}"
        self.errors.append((f"{case.folder}/{case.name}", answer))
        error = answer.get("error") or {}
        retry_after = headers.get("retry-after")
        seen = {
            "status": status,
            "type": error.get("type"),
            "message": error.get("message"),
            "details": error.get("details"),
            "should_retry": {"true": True, "false": False}.get(headers.get("x-should-retry")),
            "retry_after": int(retry_after) if retry_after else None,
        }
        if headers.get("request-id") != answer.get("request_id") or not answer.get("request_id"):
            return f"request-id is {headers.get('request-id')}, request_id in the body {answer.get('request_id')}"
        wanted = {key: wanted.get(key) for key in seen}
        if case.folder == "request":
            for told in (wanted, seen):
                told["message"] = PLACE.sub("", told["message"] or "")
        return difference(wanted, seen)

    def _post(self, case: Case, body: bytes | dict[str, Any]) -> tuple[int, Any, bytes]:
        gateway = self.gateways.of(case)
        return fetch(
            f"{gateway.url}/v1/messages",
            {"x-api-key": gateway.key, "content-type": "application/json", "anthropic-version": "2023-06-01"},
            body if isinstance(body, bytes) else json.dumps(body).encode(),
            timeout=REQUEST_SECONDS,
        )

    # --- Requests ---

    def requests(self) -> None:
        as_golden = self.report.group("requests, as the golden case")
        for case, (problem, body) in at_once(self.cases["request"], self._request):
            as_golden.case(case.name, problem)
            if body is not None:
                self.sent.append((case, body))
        for dialect in PACKAGES:
            bodies = [(case, body) for case, body in self.sent if case.options.dialect == dialect]
            group = self.report.group(f"requests, {dialect} by {PACKAGES[dialect]} {version(PACKAGES[dialect])}")
            types = Requests(dialect)
            for case, body in bodies:
                group.case(case.name, refusal(lambda body=body: types.check(body)))
            accepted = [body for _, body in bodies if refusal(lambda body=body: types.check(body)) is None]
            self._bites(f"requests, {dialect}: a misspelt field is refused", types.check, accepted or [SAMPLE])

    def _request(self, case: Case) -> tuple[str | None, dict[str, Any] | None]:
        status, headers, body = self._post(case, renamed(case.read("anthropic.json"), case.id))
        if case.has("error.json"):
            asked = self.provider.asked(case)
            problem = f"refused, and yet the provider was asked: {asked!r}" if asked else None
            return problem or self._failed(case, status, headers, body), None
        if status != 200:
            return f"expected status 200, seen {status}: {body[:500]!r}", None
        asked = self.provider.asked(case)
        if asked is None:
            return "the provider was not asked", None
        sent = json.loads(asked)
        dropped = sorted(filter(None, (headers.get("x-gatewayz-dropped") or "").split(",")))
        wanted = sorted(case.json("dropped.json")) if case.has("dropped.json") else []
        problem = difference(case.json("openai.json"), sent) or difference(wanted, dropped, "x-gatewayz-dropped")
        # What the configuration adds is its author's business.
        return problem, {key: value for key, value in sent.items() if key not in case.options.extra_body}

    # --- Types ---

    def types(self) -> None:
        answers = self.answers
        group = self.report.group("types, models and counts of tokens")
        for case in self.cases["stream"][:1]:
            for path, check in {
                "/v1/models": answers.models,
                "/v1/models?limit=2": answers.models,
                f"/v1/models/{case.id}": answers.model,
            }.items():
                group.case(path, self._answered(case, path, None, check))
            asked = {key: value for key, value in asking(case).items() if key != "max_tokens"}
            group.case("count_tokens", self._answered(case, "/v1/messages/count_tokens", asked, answers.count))
        bodies = [(case, case.json("anthropic.json")) for case in self.cases["response"] if case.has("anthropic.json")]
        group = self.report.group(f"types, messages by anthropic {version('anthropic')}")
        for case, body in bodies:
            group.case(case.name, refusal(lambda body=body: answers.message(body)))
        self._bites("types, messages: a misspelt field is refused", answers.message, [body for _, body in bodies])

        group = self.report.group("types, events of streams")
        every = []
        for case in self.cases["stream"]:
            if case.has("anthropic.sse"):
                events = messages.events(case.read("anthropic.sse"))
                every += events
                refused = (refusal(lambda event=event: answers.event(event)) for event in events)
                group.case(case.name, "\n".join(filter(None, refused)) or None)
        kinds = [(e["type"], *(e.get(key, {}).get("type") for key in ("delta", "content_block"))) for e in every]
        one_of_each = dict(zip(kinds, every))
        self._bites("types, events: a misspelt field is refused", answers.event, list(one_of_each.values()))

        group = self.report.group("types, errors")
        for folder in FOLDERS:
            for case in self.cases[folder]:
                if case.has("error.json"):
                    told = case.json("error.json")
                    error = {key: told[key] for key in ("type", "message", "details") if told.get(key) is not None}
                    answer = {"type": "error", "error": error, "request_id": "req_1"}
                    self.errors.append((f"{folder}/{case.name}", answer))
        for name, error in self.errors:
            group.case(name, refusal(lambda error=error: answers.error(error)))
        samples = [error for _, error in self.errors[:20]]
        self._bites("types, errors: a misspelt field is refused", answers.error, samples)

    def _answered(self, case: Case, path: str, body: Any, check: Callable[[Any], None]) -> str | None:
        gateway = self.gateways.of(case)
        headers = {"x-api-key": gateway.key, "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = fetch(gateway.url + path, headers, data, timeout=REQUEST_SECONDS)
        if status != 200:
            return f"expected status 200, seen {status}: {answer[:500]!r}"
        return refusal(lambda: check(json.loads(answer)))

    def _bites(self, name: str, check: Callable[[Any], None], values: Iterable[Any]) -> None:
        """That an oracle refuses anything: each key of each value misspelt, one at a time."""
        group = self.report.group(name)
        tried = 0
        for number, value in enumerate(values):
            taken = []
            for path, changed in misspelt(value):
                tried += 1
                if refusal(lambda changed=changed: check(changed)) is None:
                    taken.append(path)
            group.case(f"value {number}", f"taken though misspelt: {', '.join(taken)}" if taken else None)
        if not tried:
            group.case("no value", "nothing was tried")
        group.note = f"{tried} tried"


# Stands in where no golden case is of a dialect.
SAMPLE = {
    "model": UPSTREAM_MODEL,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
}


def asking(case: Case) -> dict[str, Any]:
    """The request of a client that gets this case."""
    asked: dict[str, Any] = {
        "model": case.id,
        "max_tokens": 2048,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    if case.options.tools:
        schema = {"type": "object", "properties": {}}
        asked["tools"] = [{"name": name, "input_schema": schema} for name in case.options.tools]
    if case.options.omit_thinking:
        asked["thinking"] = {"type": "adaptive", "display": "omitted"}
    return asked


def renamed(body: bytes, model: str) -> bytes:
    """The request for another model, all else to the letter; as it is where it names no model."""
    try:
        asked = json.loads(body)
        if not isinstance(asked["model"], str) or not asked["model"]:
            return body
        named = re.compile(rb'("model"\s*:\s*)' + re.escape(json.dumps(asked["model"]).encode()))
    except (ValueError, KeyError, TypeError):
        return body
    for match in named.finditer(body):
        changed = body[: match.start()] + match.group(1) + json.dumps(model).encode() + body[match.end() :]
        if json.loads(changed) == asked | {"model": model}:
            return changed
    return json.dumps(asked | {"model": model}).encode()


def at_once(cases: list[Case], work: Callable[[Case], Any]) -> list[tuple[Case, Any]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(zip(cases, pool.map(work, cases)))


def sdk(told: Callable[[Case], dict[str, Any]]) -> Callable[[Case], dict[str, Any]]:
    """What the Python SDK made of a case: `message`, `error` or `crash`, as streams.mjs says it."""

    def work(case: Case) -> dict[str, Any]:
        try:
            return told(case)
        except anthropic.APIStatusError as error:
            status = error.status_code if error.status_code >= 400 else None
            return {
                "error": {
                    "class": type(error).__name__,
                    "status": status,
                    "type": error.type,
                    "message": error.api_message,
                }
            }
        except Exception as error:
            return {"crash": f"{type(error).__name__}: {error}"}

    return work


def expected(case: Case, told: dict[str, Any]) -> str | None:
    """What an SDK made of a case, against the golden case."""
    if "crash" in told:
        return f"the SDK failed with what is none of its errors: {told['crash']}"
    if case.has("error.json"):
        wanted = {key: case.json("error.json")[key] for key in ("status", "type", "message")}
    elif case.has("anthropic.json"):
        return same_message(case, case.json("anthropic.json"), told)
    else:
        events = messages.events(case.read("anthropic.sse"))
        if events[-1]["type"] != "error":
            return same_message(case, messages.message(events), told)
        wanted = {"status": None, **{key: events[-1]["error"][key] for key in ("type", "message")}}
    if "error" not in told:
        return f"expected an error of the SDK, seen a message: {json.dumps(told)[:500]}"
    return difference(wanted, {key: told["error"].get(key) for key in wanted})


def same_message(case: Case, wanted: dict[str, Any], told: dict[str, Any]) -> str | None:
    if "message" not in told:
        return f"expected a message, seen {told}"
    seen = told["message"]
    if not MESSAGE_ID.fullmatch(seen.get("id") or ""):
        return f"the id is {seen.get('id')!r}"
    if seen.get("model") != case.id:
        return f"asked for the model {case.id}, and the message names {seen.get('model')}"
    wanted, seen = comparable(wanted), comparable(seen)
    if case.options.estimated:
        # It depends on what was asked, and the golden case asked something else.
        wanted["usage"].pop("input_tokens", None), seen["usage"].pop("input_tokens", None)
    with_own_ids(wanted["content"], seen["content"])
    for one, other in zip(wanted["content"], seen["content"]):
        if one.get("input") == BROKEN_OFF:
            one["input"] = other.get("input")
    return difference(wanted, seen)


def comparable(message: dict[str, Any]) -> dict[str, Any]:
    """Content, how it ended, and usage; a null is as good as nothing."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if item is not None and key != "parsed_output"}
        return [bare(item) for item in value] if isinstance(value, list) else value

    kept = {key: message.get(key) for key in ("stop_reason", "stop_sequence", "stop_details", "usage")}
    content = bare(message["content"])
    for bared, block in zip(content, message["content"]):
        if "input" in block:
            bared["input"] = block["input"]  # The model's own: a null in it stays.
    return bare(kept) | {"content": content}


def with_own_ids(wanted: list[dict[str, Any]], seen: list[dict[str, Any]], either: bool = False) -> None:
    """Ids that the gateway makes are of the message: wherever one was expected, another is as good. `either`: also
    in place of a provider's own, which came too late for a stream."""
    enough = any if either else all
    for one, other in zip(wanted, seen):
        ids = one.get("id"), other.get("id")
        if None not in ids and enough(OWN_TOOL_ID.fullmatch(id_) for id_ in ids):
            other["id"] = one["id"]


def in_one_order(message: dict[str, Any]) -> dict[str, Any]:
    """Thinking, text and calls, each joined, since an answer without a stream has them in this order."""
    content = message["content"]
    return {
        **message,
        "content": [
            {"thinking": "".join(block["thinking"] for block in content if block["type"] == "thinking")},
            {"text": "".join(block["text"] for block in content if block["type"] == "text")},
            *(block for block in content if block["type"] == "tool_use"),
        ],
    }


def settled(case: Case, events: list[dict[str, Any]], wanted: list[dict[str, Any]], live: bool = False) -> list[Any]:
    """Events without what is of one run: ids, the model's name, the estimate of the input."""
    events = json.loads(json.dumps(events))
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    with_own_ids([e["content_block"] for e in wanted if e["type"] == "content_block_start"], blocks)
    for event in events:
        if event["type"] == "message_start":
            start = event["message"]
            if live and (not MESSAGE_ID.fullmatch(start["id"]) or start["model"] != case.id):
                return [f"message_start has id {start['id']} and model {start['model']}"]
            if live and not start["usage"]["input_tokens"] > 0:
                return ["message_start has no estimate of the input"]
            start["id"] = start["model"] = start["usage"]["input_tokens"] = None
        elif event["type"] == "error":
            event.pop("request_id", None)
        elif event["type"] == "message_delta" and case.options.estimated:
            event["usage"].pop("input_tokens", None)
    return events


def refusal(check: Callable[[], None]) -> str | None:
    try:
        check()
    except Refused as refused:
        return str(refused)
    return None


if __name__ == "__main__":
    sys.exit(main())
