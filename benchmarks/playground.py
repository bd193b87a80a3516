"""Seconds per portrait on the playground's page, in headless Chromium.

    make html && python benchmarks/playground.py [--people 10] [--steps 16]

From disk a page has one thread; from a host that sends COOP and COEP it has one per core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.chromium import FLAGS, find_or_install  # noqa: E402

HTML = ROOT / "_build/html"
DATA = "document.getElementById('hsem-playground').dataset"
DRAWN = f"{DATA}.state === 'drawn'"
BAR = "document.querySelector('#hsem-playground progress')"
PREVIEW = f"{BAR} && {BAR}.value > 0 && {BAR}.value < {BAR}.max"


class Isolated(SimpleHTTPRequestHandler):
    """A host that gives its pages shared memory."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


def measure(path: str, url: str, flags: list[str], people: int, steps: int) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page()
        page.goto(f"{url}#seed=7&steps={steps}")
        began = time.perf_counter()
        page.locator("#hsem-playground > button").click()
        page.wait_for_function(PREVIEW, timeout=120_000)
        first = time.perf_counter() - began
        page.wait_for_function(DRAWN, timeout=120_000)
        seconds, previews = [], []
        for seed in range(100, 100 + people):
            page.fill("#hsem-seed", str(seed))
            began = time.perf_counter()
            page.press("#hsem-seed", "Tab")
            page.wait_for_function(f"{DATA}.state === 'drawing' && {PREVIEW}", polling=10)
            previews.append(time.perf_counter() - began)
            page.wait_for_function(DRAWN, timeout=120_000)
            seconds.append(float(page.evaluate(f"{DATA}.seconds")))
        said = page.inner_text(".hsem-where").partition(" on ")[2].partition(":")[0]
        browser.close()
    print(
        f"{said}: {steps} steps in {min(seconds):.2f} s at best, "
        f"{statistics.median(seconds):.2f} s in the median of {people}; first preview after "
        f"{statistics.median(previews):.2f} s; from start to the first preview {first:.1f} s "
        f"(load average {os.getloadavg()[0]:.1f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--steps", type=int, default=16)
    args = parser.parse_args()
    path = find_or_install()
    disk = (HTML / "book/playground.html").as_uri()
    measure(path, disk, FLAGS, args.people, args.steps)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Isolated, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = [flag for flag in FLAGS if "host-resolver" not in flag]
    host = f"http://127.0.0.1:{server.server_port}/book/playground.html"
    measure(path, host, flags, args.people, args.steps)
    server.shutdown()


if __name__ == "__main__":
    main()
