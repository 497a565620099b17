"""What was checked: groups of cases, and what failed in them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Group:
    name: str
    passed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    skips: list[tuple[str, str]] = field(default_factory=list)
    # Said beside the number of those that passed.
    note: str = ""

    def case(self, name: str, problem: str | None) -> None:
        """One case: what is wrong with it, or `None`."""
        if problem is None:
            self.passed += 1
        else:
            self.failures.append((name, problem))

    def skip(self, name: str, reason: str) -> None:
        self.skips.append((name, reason))


class Report:
    def __init__(self):
        self._groups: list[Group] = []

    def group(self, name: str) -> Group:
        self._groups.append(Group(name))
        return self._groups[-1]

    def show(self) -> bool:
        """Prints a line for each group, then failures and skips; whether everything passed."""
        for group in self._groups:
            line = f"{group.name:<46} {group.passed:>5} passed"
            line += f", {len(group.failures)} FAILED" if group.failures else ""
            line += f", {len(group.skips)} skipped" if group.skips else ""
            print(line + (f" ({group.note})" if group.note else ""))
            for name, reason in group.skips:
                print(f"    skipped {name}: {reason}")
        # What several groups say alike is said once.
        groups: dict[tuple[str, str], list[str]] = {}
        for group in self._groups:
            for failure in group.failures:
                groups.setdefault(failure, []).append(group.name)
        for (name, problem), names in groups.items():
            print(f"\nFAILED {name} ({'; '.join(names)})\n" + "\n".join("    " + line for line in problem.splitlines()))
        passed, failed, skipped = (
            sum(count(group) for group in self._groups)
            for count in (lambda g: g.passed, lambda g: len(g.failures), lambda g: len(g.skips))
        )
        print(f"\n{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
        return failed == 0 and passed > 0


def difference(expected: Any, seen: Any, path: str = "") -> str | None:
    """Where two JSON values differ, a line for each place; `None` when they are the same."""
    found = list(_differences(expected, seen, path))
    return "\n".join(found[:10] + (["..."] if len(found) > 10 else [])) or None


def _differences(expected: Any, seen: Any, path: str):
    if isinstance(expected, dict) and isinstance(seen, dict):
        for key in [*expected, *(key for key in seen if key not in expected)]:
            at = f"{path}.{key}" if path else key
            if key not in seen:
                yield f"{at}: expected {_brief(expected[key])}, and it is missing"
            elif key not in expected:
                yield f"{at}: not expected, seen {_brief(seen[key])}"
            else:
                yield from _differences(expected[key], seen[key], at)
    elif isinstance(expected, list) and isinstance(seen, list):
        if len(expected) != len(seen):
            yield f"{path or 'value'}: expected {len(expected)} items, seen {len(seen)}"
        for place, (one, other) in enumerate(zip(expected, seen)):
            yield from _differences(one, other, f"{path}[{place}]")
        for place in range(len(seen), len(expected)):
            yield f"{path}[{place}]: expected {_brief(expected[place])}, and it is missing"
        for place in range(len(expected), len(seen)):
            yield f"{path}[{place}]: not expected, seen {_brief(seen[place])}"
    elif type(expected) is not type(seen) or expected != seen:
        if isinstance(expected, int | float) and isinstance(seen, int | float) and expected == seen:
            if not isinstance(expected, bool) and not isinstance(seen, bool):
                return
        yield f"{path or 'value'}: expected {_brief(expected)}, seen {_brief(seen)}"


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else text[:297] + "..."
