"""The golden cases, as `tests/golden` holds them: whatever files are there, found when the program starts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDERS = ("request", "response", "stream", "error")


@dataclass
class Options:
    """What `CASE.case.json` sets; the defaults are those of the golden runner."""

    dialect: str = "openrouter"
    # Fields of the dialect that differ for this case.
    with_: dict[str, Any] = field(default_factory=dict)
    max_tokens_cap: int | None = None
    extra_body: dict[str, Any] = field(default_factory=dict)
    unsupported: str = "drop"
    # Names of the tools that the request offered.
    tools: list[str] = field(default_factory=list)
    omit_thinking: bool = False
    tool_buffer: int = 8 << 20
    max_line: int = 1 << 20
    # Whether the usage is the gateway's own estimate.
    estimated: bool = False
    # US dollars that the provider names: nothing that a client sees.
    cost: float | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> Options:
        """Fails on an option that is not known here: without it, the case would mean something else."""
        return cls(**{"with_" if key == "with" else key: value for key, value in values.items()})


@dataclass
class Case:
    folder: str
    name: str
    path: Path
    options: Options

    @property
    def id(self) -> str:
        """The model that a client asks for to get this case."""
        return f"{self.folder}.{self.name}"

    def has(self, kind: str) -> bool:
        return self._file(kind).exists()

    def read(self, kind: str) -> bytes:
        return self._file(kind).read_bytes()

    def json(self, kind: str) -> Any:
        return json.loads(self.read(kind))

    def _file(self, kind: str) -> Path:
        return self.path / f"{self.name}.{kind}"


def find(golden: Path) -> dict[str, list[Case]]:
    """All cases of each folder, by name."""
    return {folder: list(_folder(golden / folder, folder)) for folder in FOLDERS}


def _folder(path: Path, folder: str):
    names = {file.name.split(".", 1)[0] for file in path.iterdir() if "." in file.name} if path.is_dir() else set()
    for name in sorted(names - {""}):
        case = Case(folder, name, path, Options())
        if case.has("case.json"):
            try:
                case.options = Options.of(case.json("case.json"))
            except TypeError as error:
                raise SystemExit(f"{case.path}/{name}.case.json: {error}; teach it to tests/oracles/cases.py") from None
        # Files that no verb of the golden runner begins with are notes.
        if any(case.has(kind) for kind in ("openai.sse", "openai.json", "anthropic.json")):
            yield case
