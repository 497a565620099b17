"""Checks a built image: what its configuration promises, and that the binary in it serves. Called by `run`.

    python3 check.py ROOTFS IMAGE.json REVISION

ROOTFS is the mounted image, IMAGE.json what `buildah inspect --type image` says of it. The gateway is started as a
container engine would start it: entry point and command from the image, its user, an environment that holds the
image's and the operator's variables only, its own root, and as process 1 of its own process namespace, where a
program that does not handle SIGTERM would not even notice it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "sdk"))
from harness import Server, fetch  # noqa: E402

KEY, TOKEN = "image-client-key", "image-metrics-token"


class Image:
    """The image's configuration, and how to run something in it."""

    def __init__(self, rootfs: str, description: str):
        self.rootfs = rootfs
        self.config = json.loads(Path(description).read_text())["Docker"]["config"]

    def command(self, words: list[str], variables: dict[str, str]) -> list[str]:
        environment = self.config["Env"] + [f"{name}={value}" for name, value in variables.items()]
        user, group = self.config["User"].split(":")
        become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        # Ends with its parent, which a change of user would otherwise undo.
        become += ["--pdeathsig", "KILL"]
        return ["chroot", self.rootfs, *become, "env", "-i", *environment, *words]


def main() -> None:
    rootfs, description, revision = sys.argv[1:]
    image = Image(rootfs, description)
    check_configuration(image, revision)
    check_railway()

    shown = run(image, ["--version"])
    check(re.fullmatch(r"gatewayz \d+\.\d+\.\d+.*", shown), f"--version says {shown}", shown)

    variables = {"GATEWAYZ_API_KEYS": KEY, "METRICS_TOKEN": TOKEN, "OPENROUTER_API_KEY": "not-used"}
    alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount", f"--mount-proc={rootfs}/proc"]
    words = image.config["Entrypoint"] + image.config["Cmd"]
    started = time.monotonic()
    folder = Path(description).parent
    server = Server(
        "image",
        folder,
        lambda port: alone + image.command(words, variables | {"PORT": str(port)}),
        {},
        "/healthz",
    )
    try:
        passed(f"it answers /healthz {time.monotonic() - started:.2f} s after its start")
        check_service(server, image, revision)
        check_end(server)
    except BaseException:
        print(f"the gateway in the image wrote:\n{server.last_words()}", file=sys.stderr)
        raise
    finally:
        server.kill()
    print("image: every check passed")


def check_configuration(image: Image, revision: str) -> None:
    config = image.config
    user = config["User"]
    check(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "its user and group are numbers, and not root's", user)
    binary = "/usr/local/bin/gatewayz"
    check(config["Entrypoint"] == [binary], "the entry point is the binary, without a shell", config["Entrypoint"])
    check(config["Cmd"] == ["serve"], "it serves when nothing else is said", config["Cmd"])
    health = config["Healthcheck"]
    check(health["Test"] == ["CMD", binary, "healthcheck"], "the binary checks its own health", health)
    check(config["StopSignal"] == "SIGTERM", "it is stopped by SIGTERM", config["StopSignal"])
    check("8080/tcp" in config["ExposedPorts"], "it exposes port 8080", config["ExposedPorts"])
    labels = config["Labels"]
    check(labels["org.opencontainers.image.revision"] == revision, "a label names the revision", labels)
    secrets = [pair for pair in config["Env"] if re.search(r"KEY|TOKEN|SECRET", pair)]
    check(not secrets, "no secret is in its environment", secrets)
    file = Path(image.rootfs + binary).stat()
    check(file.st_uid == 0 and not file.st_mode & 0o022, "the user cannot change the binary", oct(file.st_mode))
    extra = [name for name in ("build", "root/.cargo", "usr/local/cargo", ".env") if Path(image.rootfs, name).exists()]
    check(not extra, "nothing of the build is left in it", extra)


def check_railway() -> None:
    """railway.toml leaves the gateway the time that its own configuration takes."""
    deploy = tomllib.loads((ROOT / "railway.toml").read_text())["deploy"]
    server = tomllib.loads((ROOT / "config" / "default.toml").read_text())["server"]
    needed = seconds(server["drain_notice"]) + seconds(server["drain"])
    given = deploy["drainingSeconds"]
    check(given > needed, f"Railway grants {given} s for an end that takes up to {needed:g} s", given)


def check_service(server: Server, image: Image, revision: str) -> None:
    status, headers, body = fetch(f"{server.url}/")
    check(status == 200 and json.loads(body)["name"] == "gatewayz", "GET / says who it is", body)

    path = tomllib.loads((ROOT / "railway.toml").read_text())["deploy"]["healthcheckPath"]
    status, _, body = fetch(f"{server.url}{path}", {"Host": "healthcheck.railway.app"})
    check(status == 200, f"GET {path}, Railway's health check, answers 200", (status, body))

    # Refused before any provider is asked: there is none here.
    incomplete = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}
    for key, whose, expected in (("wrong", "a wrong key", 401), (KEY, "the key, but without max_tokens,", 400)):
        headers = {"content-type": "application/json", "x-api-key": key}
        status, _, body = fetch(f"{server.url}/v1/messages", headers, json.dumps(incomplete).encode())
        check(status == expected, f"POST /v1/messages with {whose} answers {expected}", (status, body))
    status, _, body = fetch(f"{server.url}/metrics", {"Authorization": f"Bearer {TOKEN}"})
    models = body.count(b"\nmodel_requests_total{")
    check(status == 200 and models > 0, f"GET /metrics has the {models} models of the catalog", (status, body[:300]))
    build = re.search(r"^gateway_build_info\{.*\}", body.decode(), re.M)
    built = f'revision="{revision}"'
    check(build and built in build[0], f"gateway_build_info has {built}", build and build[0])

    run(image, ["healthcheck"], {"PORT": str(server.port)})
    passed("`healthcheck` ends with 0")

    inside = Path(f"/proc/{pid_inside(server)}/status").read_text()
    ids = re.search(r"^NSpid:.*\s(\d+)$", inside, re.M)[1]
    user = re.search(r"^Uid:\s+(\d+)", inside, re.M)[1]
    check((ids, user) == ("1", image.config["User"].split(":")[0]), f"it is process 1, of user {user}", (ids, user))


def check_end(server: Server) -> None:
    os.kill(pid_inside(server), signal.SIGTERM)
    started = time.monotonic()
    try:
        # unshare ends with the code of what it ran.
        code = server.process.wait(60)
    except subprocess.TimeoutExpired:
        code = "nothing after 60 s"
    check(code == 0, f"SIGTERM ends it with 0, {time.monotonic() - started:.1f} s later", code)


def pid_inside(server: Server) -> int:
    """The gateway's process as seen from here; its parent is unshare."""
    unshare = server.process.pid
    return int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])


def run(image: Image, words: list[str], variables: dict[str, str] | None = None) -> str:
    """What the binary prints; it must end with 0."""
    done = subprocess.run(
        image.command([*image.config["Entrypoint"], *words], variables or {}),
        capture_output=True,
        text=True,
        timeout=30,
    )
    if done.returncode != 0:
        check(False, f"`{' '.join(words)}` ends with 0", (done.returncode, done.stdout, done.stderr))
    return done.stdout.strip()


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|m|h)", text).groups()
    return float(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def check(holds, what: str, found) -> None:
    if not holds:
        raise SystemExit(f"image: FAILED: {what}\n    found: {found!r}")
    passed(what)


def passed(what: str) -> None:
    print(f"   ok: {what}", flush=True)


if __name__ == "__main__":
    main()
