# shellcheck shell=bash
# What the scripts of this project share; sourced, never run.
#
#   . "$(dirname "$0")/../../.ci/lib.sh"
#
# Sets ROOT (the project's folder) and CACHE (kept between runs, outside the tree).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${GATEWAYZ_CI_CACHE:-$HOME/.cache/gatewayz-ci}
mkdir -p "$CACHE"
export ROOT CACHE
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Prints a progress line.
say() { printf '   %s\n' "$*" >&2; }

# Ends the script: what happened, and what to do about it.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need_debian COMMAND PACKAGE...: installs the packages when there is no such command.
need_debian() {
    local command=$1
    shift
    command -v "$command" > /dev/null 2>&1 && return
    install_debian "$@"
    command -v "$command" > /dev/null 2>&1 || die "$command is still missing after 'apt-get install $*'"
}

install_debian() {
    [ "$(id -u)" = 0 ] || die "these packages are needed, and installing them takes root: apt-get install $*"
    say "installing $*"
    local log=$CACHE/apt.log policy=/usr/sbin/policy-rc.d
    # Debian starts a service once it is installed, unless this file says no.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    else
        policy=
    fi
    local code=0
    { DEBIAN_FRONTEND=noninteractive timeout 600 apt-get update \
        && DEBIAN_FRONTEND=noninteractive timeout 1200 apt-get install -y --no-install-recommends "$@"; } > "$log" 2>&1 || code=$?
    [ -z "$policy" ] || rm -f "$policy"
    if [ "$code" != 0 ]; then
        tail -n 20 "$log" >&2
        die "apt-get could not install $* (log: $log)"
    fi
}

# venv NAME REQUIREMENT...: a virtual environment with the newest of these packages; prints its folder.
# Further arguments for pip may stand among the requirements.
venv() {
    local folder=$CACHE/venv-$1 log=$CACHE/venv-$1.log
    shift
    need_debian python3 python3 >&2
    python3 -c 'import ensurepip, venv' 2> /dev/null || install_debian python3-venv >&2
    # An interpreter that has been replaced since leaves a folder that no longer works.
    "$folder/bin/python" -m pip --version > /dev/null 2>&1 || rm -rf "$folder"
    if ! { { [ -d "$folder" ] || timeout 300 python3 -m venv "$folder"; } \
        && timeout 900 "$folder/bin/python" -m pip install --upgrade "$@"; } > "$log" 2>&1; then
        tail -n 20 "$log" >&2
        die "pip could not install $* (log: $log)"
    fi
    printf '%s\n' "$folder"
}

# gateway_binary PATH: the absolute path of a binary that runs.
gateway_binary() {
    [ -n "${1:-}" ] || die "which binary? Call: $0 GATEWAYZ_BINARY (for instance target/release/gatewayz, after cargo build --release)"
    [ -x "$1" ] || die "$1 is no binary; build it with 'cargo build --release'"
    realpath "$1"
}
