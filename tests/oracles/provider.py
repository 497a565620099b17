"""A provider that answers each golden case with its bytes, and keeps what it was asked.

Its address names the case: `{url}/FOLDER/CASE/v1/chat/completions`.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cases import Case
from messages import NoCompletion, completion

# How many pauses one stream may have, so that a long one does not take long.
PAUSES = 20
PAUSE_SECONDS = 0.002

COMPLETION = {
    "id": "gen-oracle",
    "object": "chat.completion",
    "created": 0,
    "model": "upstream/model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\ndata: [DONE]\n\n'
)


class Provider:
    """Listens on loopback, on a port that was free, until it is left."""

    def __init__(self, cases: list[Case]):
        self._cases = {f"/{case.folder}/{case.name}/v1/chat/completions": case for case in cases}
        self._asked: dict[str, bytes] = {}
        self._lock = threading.Lock()
        provider = self

        class Handler(_Handler):
            of = provider

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # The gateway hangs up on a stream that it can make no sense of.

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Provider:
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, case: Case) -> bytes | None:
        """The body of the last request for this case."""
        with self._lock:
            return self._asked.get(case.id)

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        case = self._cases.get(path)
        if case is None:
            return 404, {"content-type": "application/json"}, b'{"error":{"message":"no such case"}}'
        with self._lock:
            self._asked[case.id] = body
        streamed = json.loads(body).get("stream") is True
        match case.folder:
            case "request":
                return _stream(STREAM) if streamed else _json(COMPLETION)
            case "response":
                return 200, {"content-type": "application/json"}, case.read("openai.json")
            case "stream" if case.has("openai.json"):
                return 200, {"content-type": "application/json"}, case.read("openai.json")
            case "stream" if streamed:
                return _stream(case.read("openai.sse"))
            case "stream":
                try:
                    return _json(completion(case.read("openai.sse")))
                except NoCompletion as reason:
                    return 500, {"content-type": "text/plain"}, f"no completion: {reason}".encode()
            case _:
                return _error(case.json("openai.json"))


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"content-type": "application/json"}, json.dumps(value).encode()


def _stream(stream: bytes) -> tuple[int, dict[str, str], bytes]:
    return 200, {"content-type": "text/event-stream"}, stream


def _error(answer: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    body, headers = answer["body"], {"content-type": "application/json"}
    if answer.get("retry_after") is not None:
        headers["retry-after"] = str(answer["retry_after"])
    if isinstance(body, str):
        headers["content-type"] = "text/html" if body.lstrip().startswith("<") else "text/plain"
    return answer["status"], headers, body.encode() if isinstance(body, str) else json.dumps(body).encode()


class _Handler(BaseHTTPRequestHandler):
    of: Provider
    protocol_version = "HTTP/1.1"
    timeout = 60

    def setup(self) -> None:
        super().setup()
        # Each piece goes out at once.
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        status, headers, answer = self.of.answer(self.path, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if headers["content-type"] != "text/event-stream":
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for place, piece in enumerate(cuts(answer, random.Random(self.path))):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            if place < PAUSES:
                time.sleep(PAUSE_SECONDS)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_) -> None:
        pass


def cuts(data: bytes, by: random.Random):
    """Pieces of random length, small ones and large ones alike, also inside of characters."""
    place = 0
    while place < len(data):
        length = 1 + by.randrange(1 << by.randrange(10))
        # Of very long streams not every byte needs a cut near it.
        length = max(length, len(data) // 2000)
        yield data[place : place + length]
        place += length
