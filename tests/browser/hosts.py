"""Static hosts for a built page: in a folder, and with or without shared memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Host(SimpleHTTPRequestHandler):
    """Serves `directory` below `prefix`, and nothing above it."""

    def __init__(self, *args: object, prefix: str, headers: dict[str, str], directory: str) -> None:
        self.prefix, self.more = prefix, headers
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        inside = path.removeprefix(self.prefix)
        return super().translate_path(inside if inside != path or not self.prefix else "/none")

    def end_headers(self) -> None:
        for name, value in self.more.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(directory: Path, *, prefix: str = "", isolated: bool = False) -> Iterator[str]:
    """A host on this machine; gives its address."""
    headers = ISOLATED if isolated else {}
    handler = partial(Host, prefix=prefix, headers=headers, directory=str(directory))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
