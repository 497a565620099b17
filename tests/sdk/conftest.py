"""One gateway and one simulator for all tests, and SDK clients that talk to them."""

import hashlib
import os
from pathlib import Path

import anthropic
import pytest

from harness import Gateway, Simulator

SONNET = "claude-sonnet-4-5-20250929"

# The key `limited` has a limit. The wildcard takes the names that choose a mood of the simulator; no other is known.
CONFIG = """
[[auth.keys]]
name = "limited"
sha256 = "{limited}"
limits = {{ requests_per_minute = 60 }}

[[providers]]
name = "simulator"
dialect = "generic"
base_url = "{simulator}/v1"

[[models]]
id = "claude-sonnet-4-5-20250929"
display_name = "Claude Sonnet 4.5"
created_at = "2025-09-29T00:00:00Z"
routes = [ {{ provider = "simulator", model = "anthropic/claude-sonnet-4.5" }} ]

[[models]]
id = "gpt-5"
display_name = "GPT-5"
routes = [ {{ provider = "simulator", model = "openai/gpt-5" }} ]

[[models]]
id = "gemini-2.5-flash"
display_name = "Gemini 2.5 Flash"
routes = [ {{ provider = "simulator", model = "google/gemini-2.5-flash" }} ]

[[models]]
id = "simulate-*"
routes = [ {{ provider = "simulator", model = "*" }} ]
"""


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    binary = os.environ.get("GATEWAYZ_BINARY")
    if not binary:
        pytest.exit("GATEWAYZ_BINARY is not set; call tests/sdk/run GATEWAYZ_BINARY", returncode=2)
    folder: Path = tmp_path_factory.mktemp("servers")
    with Simulator(binary, folder) as simulator:
        limited = hashlib.sha256(b"limited").hexdigest()
        with Gateway(binary, folder, CONFIG.format(simulator=simulator.url, limited=limited)) as running:
            yield running


@pytest.fixture(scope="session")
def client(gateway):
    """Without retries, so that what the gateway says is what a test sees."""
    with anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def say():
    """Messages of one user turn."""
    return lambda text: [{"role": "user", "content": text}]
