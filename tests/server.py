"""A real HTTP server on loopback that serves a folder, with Range, and with the faults of real servers."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server(ThreadingHTTPServer):
    """`faults` maps a file name to a list; each request takes the first: an HTTP status, or one of the words in `Handler`."""

    daemon_threads = True

    def __init__(self, folder: Path, rate: float | None = None, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.rate, self.ranges = folder, rate, ranges
        self.faults: dict[str, list[int | str]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.sent = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        super().setup()

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        wanted = self.headers.get("Range")
        with self.server.lock:
            self.server.requests.append((name, wanted))
            fault = self.server.faults.get(name, [])
            now = fault.pop(0) if fault else None
        path = self.server.folder / name
        if isinstance(now, int) or not path.is_file():
            self.send_error(now if isinstance(now, int) else 404)
            return
        body = path.read_bytes()
        start = 0
        if wanted and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if wanted and self.server.ranges else 200)
        if wanted and self.server.ranges:
            first = start + 7 if now == "wrong range" else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        content = body[start:]
        if now == "longer":
            content += b"more"
        if now != "no length":
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if now == "no length longer":
            content += b"more"
        self.stream(content[: len(content) // 2] if now in ("shorter", "stall") else content)
        if now == "stall":
            time.sleep(5)

    def stream(self, content: bytes) -> None:
        for at in range(0, len(content), 1 << 14):
            chunk = content[at : at + (1 << 14)]
            self.wfile.write(chunk)
            with self.server.lock:
                self.server.sent += len(chunk)
            if self.server.rate:
                time.sleep(len(chunk) / self.server.rate)


@contextmanager
def serve(folder: Path, rate: float | None = None, ranges: bool = True) -> Iterator[Server]:
    """Serve a folder; `rate` in bytes a second."""
    server = Server(folder, rate, ranges)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
