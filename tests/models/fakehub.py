"""A hub on this machine: the answers of huggingface.co that `pull` asks for, and what can go wrong with them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """`files` of the one repository there is, by path, those of `lfs` told by their sha256; `asked` is what came in.
    `cut`: bytes after which a file's connection breaks; `lies`: paths whose bytes are others than listed; `gated`,
    `gone`: who asks is refused; `ranges`: whether a part of a file is given; `commit` where the branch is. `moved`:
    files are another server's to give, whose address is told; `tokens`: who was told which, host and Authorization."""

    files: dict[str, bytes]
    url: str = ""
    lfs: tuple[str, ...] = (".safetensors", ".bin", ".onnx")
    cut: int | None = None
    lies: tuple[str, ...] = ()
    gated: bool = False
    gone: bool = False
    ranges: bool = True
    commit: str = COMMIT
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    moved: bool = False
    tokens: list[tuple[str, str]] = field(default_factory=list)

    def listed(self) -> dict[str, object]:
        """What /api/models tells of the repository at a commit."""
        rows = []
        for path, content in self.files.items():
            row = {"rfilename": path, "size": len(content),
                   "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}  # fmt: skip
            if path.endswith(self.lfs):
                row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            rows.append(row)
        return {"id": "toys/toy", "sha": self.commit, "siblings": rows}

    def loaded(self) -> list[str]:
        """The files that were asked for, each as often as it was."""
        return [path.rpartition("/resolve/")[2].partition("/")[2] for verb, path, _ in self.asked
                if verb == "GET" and "/resolve/" in path]  # fmt: skip


@contextmanager
def served(hub: Hub) -> Iterator[Hub]:
    """The hub, as long as the context lasts, at `hub.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_words: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            hub.asked.append((self.command, path, self.headers.get("Range", "")))
            host = self.headers["Host"].partition(":")[0]
            hub.tokens.append((host, self.headers.get("Authorization", "")))
            if hub.moved and "/resolve/" in path and host != "localhost":
                answer(self, hub, b"", 302, {"Location": f"http://localhost:{server.server_port}{path}?signature=x"})
            elif path.startswith("/api/models/"):
                answer(self, hub, json.dumps(hub.listed()).encode(), 404 if hub.gone else 200)
            else:
                give(self, hub, path.rpartition(f"/resolve/{hub.commit}/")[2].lstrip("/"))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def give(handler: BaseHTTPRequestHandler, hub: Hub, path: str) -> None:
    """A file, or what of it is asked for; or why not."""
    if hub.gated:
        return answer(handler, hub, b"", 401, {"X-Error-Code": "GatedRepo"})
    if path not in hub.files:
        return answer(handler, hub, b"", 404, {"X-Error-Code": "EntryNotFound"})
    content = bytes(len(hub.files[path])) if path in hub.lies else hub.files[path]
    asked = handler.headers.get("Range", "")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and hub.ranges else 0
    more = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
    return answer(handler, hub, content[start:], 206 if start else 200, more)


def answer(
    handler: BaseHTTPRequestHandler, hub: Hub, body: bytes, status: int, more: dict[str, str] | None = None
) -> None:
    """Headers and a body, which breaks off after `hub.cut` bytes."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(more or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command == "HEAD":
        return
    with suppress(OSError):
        if hub.cut is not None and hub.cut < len(body) and "/resolve/" in handler.path:
            handler.wfile.write(body[: hub.cut])
            handler.close_connection = True
        else:
            handler.wfile.write(body)
