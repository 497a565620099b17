"""Runs the entrypoint of a service without the service, by the shell and the tools that the images have."""

from __future__ import annotations

import shutil
from pathlib import Path

from places import call

# Debian's, which is strict, and that of the images.
SHELLS = ["dash", "busybox"]
APPLETS = ["awk", "cat", "chmod", "cp", "dirname", "env", "mkdir", "rm"]


def run_alone(folder: Path, shell: str, entrypoint: Path, checker: str, program: str, environment: dict[str, str]):
    """Exit code and output of an entrypoint that has the real `checker` and, instead of `program`, one that prints its
    environment and its arguments. It sees `environment` and nothing else."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / checker).symlink_to(shutil.which(checker))
    (programs / program).write_text('#!/bin/sh\nenv\nprintf "argument %s\\n" "$@"\n')
    (programs / program).chmod(0o755)
    path = f"{programs}:/usr/bin:/bin"
    command = [shutil.which(shell)]
    if shell == "busybox":
        command.append("sh")
        path = str(programs)
        for applet in APPLETS:
            (programs / applet).symlink_to(shutil.which("busybox"))
    settings = [f"{name}={value}" for name, value in ({"PATH": path} | environment).items()]
    return call("/usr/bin/env", "-i", *settings, *command, entrypoint, "--further")
