"""Real gateways in front of the replaying provider: one for each set of settings that golden cases ask for.

Every case has a provider and a model of its own, so that no case reaches another one by a circuit that opened, a
dialect or a tool name. The model's name is the case's.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cases import Case

sys.path.insert(0, str(Path(__file__).parents[1] / "sdk"))
from harness import Gateway  # noqa: E402

# As the golden runner has them.
UPSTREAM_MODEL = "upstream/model"
SIGNATURE_KEY = "golden"
# Counters that are 0 unless the gateway is wrong.
BUGS = {"gateway_streams_out_of_order_total"}


class Gateways:
    """Runs them, and tells which one serves a case."""

    def __init__(self, binary: str, folder: Path, provider: str, cases: list[Case]):
        self._binary, self._folder, self._provider = binary, folder, provider
        self._groups: dict[tuple[Any, ...], list[Case]] = {}
        for case in cases:
            self._groups.setdefault(_settings(case), []).append(case)
        self._running: dict[tuple[Any, ...], Gateway] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Gateways:
        with self._stack as stack:
            for number, (settings, cases) in enumerate(self._groups.items()):
                folder = self._folder / f"gateway-{number}"
                folder.mkdir()
                gateway = Gateway(
                    self._binary,
                    folder,
                    _config(settings, cases, self._provider),
                    {
                        "GATEWAYZ_SIGNATURE_KEY": SIGNATURE_KEY,
                        "GATEWAYZ__SERVER__WORKERS": "1",
                        "GATEWAYZ__SERVER__DRAIN_NOTICE": "0s",
                        "RUST_LOG": "warn",
                    },
                )
                self._running[settings] = stack.enter_context(gateway)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *failure) -> None:
        self._stack.__exit__(*failure)

    def of(self, case: Case) -> Gateway:
        return self._running[_settings(case)]

    def complaints(self) -> str | None:
        """What gateways say of themselves that is a bug: panics, and counters of what must never happen."""
        found = []
        for gateway in self._running.values():
            found += [line for line in gateway.log.read_text(errors="replace").splitlines() if "panicked" in line]
            broken = {name: value for name, value in gateway.metrics().items() if name in BUGS and value}
            found += [f"{name} is {value:.0f}" for name, value in broken.items()]
        return "\n".join(found) or None


def _settings(case: Case) -> tuple[Any, ...]:
    """What is the same for a whole process."""
    return case.options.unsupported, case.options.tool_buffer, case.options.max_line


def _config(settings: tuple[Any, ...], cases: list[Case], provider: str) -> str:
    unsupported, tool_buffer, max_line = settings
    parts = [
        f'[translation]\nunsupported = "{unsupported}"\n',
        # Each case is played several times, and its provider fails each time.
        "[retry]\nmax_attempts = 1\n",
        f'[stream]\nmax_tool_buffer = "{tool_buffer}B"\nmax_line = "{max_line}B"\n',
    ]
    for case in cases:
        options = case.options
        fields = {
            "name": f"{case.folder}-{case.name}",
            "dialect": options.dialect,
            "base_url": f"{provider}/{case.folder}/{case.name}/v1",
            "dialect_overrides": options.with_,
            "extra_body": options.extra_body,
            "breaker": {"min_requests": 1_000_000},
        }
        parts.append("[[providers]]\n" + _lines(fields))
    for case in cases:
        fields = {"id": case.id, "routes": [{"provider": f"{case.folder}-{case.name}", "model": UPSTREAM_MODEL}]}
        if case.options.max_tokens_cap is not None:
            fields["max_tokens"] = case.options.max_tokens_cap
        parts.append("[[models]]\n" + _lines(fields))
    return "\n".join(parts)


def _lines(fields: dict[str, Any]) -> str:
    return "".join(f"{key} = {_toml(value)}\n" for key, value in fields.items() if value != {})


def _toml(value: Any) -> str:
    """Inline TOML. A null has no place in it."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case None:
            raise ValueError("a golden case configures a null, which a configuration file cannot say")
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return json.dumps(value)
