"""Where things are, and how the tools of this stage are called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
PROMETHEUS = MONITORING / "prometheus"
ALERTMANAGER = MONITORING / "alertmanager"
GRAFANA = MONITORING / "grafana"
RUNBOOKS = MONITORING / "runbooks"
RULE_TESTS = ROOT / "tests" / "monitoring" / "rules"


def call(*command, cwd: Path | None = None, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything that a command wrote."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


def passes(*command, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a command wrote that must end with 0."""
    code, output = call(*command, cwd=cwd, environment=environment)
    assert code == 0, f"{' '.join(map(str, command))} ended with {code}:\n{output}"
    return output
