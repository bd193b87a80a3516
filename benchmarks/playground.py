"""Seconds per portrait on the playground's page, in headless Chromium, and what the page weighs.

    make html && python benchmarks/playground.py [--people 10] [--steps 16]
    make numbers

From disk a page has one thread; from a host that sends COOP and COEP it has one per core. On a
machine that other work uses as well, the best of the people says more than the median, and the
processor's time more than the clock's: of one thread it is what the clock says on an idle machine.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from common import machine, write
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import hsem  # noqa: E402
from hsem import viz  # noqa: E402
from tests.browser.chromium import FLAGS, find_or_install  # noqa: E402
from tests.browser.hosts import serve  # noqa: E402
from tests.browser.playing import PAGE, STATIC, apart, pixels, wait  # noqa: E402

DATA = "document.getElementById('hsem-playground').dataset"
BAR = "document.querySelector('#hsem-playground progress')"
PREVIEW = f"{DATA}.state === 'drawing' && {BAR} && {BAR}.value > 0 && {BAR}.value < {BAR}.max"
SEED = "document.getElementById('hsem-seed')"
YAW = "document.getElementById('hsem-strength-yaw')"
FIRST = 100  # seed of the first of the people


def processor(page: Page) -> float:
    """Seconds that the pages of this browser have computed so far, on all cores together."""
    browser = page.context.browser
    assert browser is not None
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return sum(float(p["cpuTime"]) for p in found if p["type"] == "renderer")


def timed(page: Page, act: str) -> tuple[float, float, float]:
    """Seconds to the first preview, to the picture, and of computing, after some JavaScript."""
    began, computed = time.perf_counter(), processor(page)
    page.evaluate(act)
    page.wait_for_function(PREVIEW, polling=10, timeout=120_000)
    preview = time.perf_counter() - began
    wait(page)
    return preview, float(page.evaluate(f"{DATA}.seconds")), processor(page) - computed


def measure(page: Page, url: str, people: int, steps: int) -> tuple[dict[str, Any], list[Any]]:
    """One row of the table, and the pictures that were drawn."""
    page.goto(f"{url}#seed=7&steps={steps}")
    began = time.perf_counter()
    page.locator("#hsem-playground > button").click()
    page.wait_for_function(PREVIEW, polling=10, timeout=120_000)
    start_ = time.perf_counter() - began
    wait(page)
    drawn, portraits, moves = [], [], []
    for seed in range(FIRST, FIRST + people):
        change = f"{SEED}.value = {seed}; {SEED}.dispatchEvent(new Event('change'))"
        portraits.append(timed(page, change))
        drawn.append(pixels(page, "before"))
        for value in (0.5, 0):
            move = f"{YAW}.value = {value}; {YAW}.dispatchEvent(new Event('input'))"
            if value:
                moves.append(timed(page, move))
            else:
                page.evaluate(move)
                wait(page)
    said = page.inner_text(".hsem-where").partition(" on ")[2].partition(":")[0]
    previews, seconds, computed = zip(*portraits, strict=True)
    return {
        "runs on": said,
        "portrait, s, best": min(seconds),
        "portrait, s, median": statistics.median(seconds),
        "portrait, processor s, best": min(computed),
        "its first preview, s, best": min(previews),
        "its first preview, s, median": statistics.median(previews),
        "slider, s, best": min(s for _, s, _ in moves),
        "its first preview, s": min(p for p, _, _ in moves),
        "from Start to the first preview, s": start_,
        "load average": os.getloadavg()[0],
    }, drawn


def weight_before_start(page: Page) -> int:
    """Bytes that the page asks of its host, which compresses what it sends."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(PAGE.as_uri(), wait_until="networkidle")
    page.evaluate("document.fonts.ready.then(() => 0)")  # the last to be asked for
    files = [Path(unquote(urlparse(url).path)) for url in asked if url.startswith("file:")]
    return sum(len(gzip.compress(f.read_bytes())) for f in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--steps", type=int, default=16)
    args = parser.parse_args()
    facts = machine("cpu") | {"cores": os.cpu_count(), "people": args.people, "steps": args.steps}
    path = find_or_install()
    with sync_playwright() as play, serve(STATIC.parent, isolated=True) as host:
        chromium = play.chromium.launch(executable_path=path, args=FLAGS)
        facts["chromium"] = chromium.version
        before = weight_before_start(chromium.new_page())
        rows, pictures = [], []
        for url in (PAGE.as_uri(), f"{host}/book/playground.html"):
            page = chromium.new_page()
            row, drawn = measure(page, url, args.people, args.steps)
            rows.append(row)
            pictures += drawn
            page.close()
        chromium.close()
    model = hsem.load(device="cpu")
    expected = viz.to_uint8(
        hsem.sample(
            model, range(FIRST, FIRST + args.people), steps=args.steps, eta=0.0, record=(),
            progress=False,
        ).images
    )  # fmt: skip
    levels = max(apart(p, expected[k % args.people]) for k, p in enumerate(pictures))
    live = [STATIC / "live" / name for name in ("model.js", "wasm.js")]
    loads = sum(f.stat().st_size for f in live)
    sent = sum(len(gzip.compress(f.read_bytes())) for f in live)
    facts["largest difference to Python, of 255"] = levels
    published = {
        "people": f"{args.people}",
        "steps": f"{args.steps}",
        "levels": f"{levels}",
        "date": facts["date"],
        "weight/before": f"{before / 1e6:.1f} MB",
        "weight": f"{loads / 1e6:.0f} MB",
        "weight/sent": f"{sent / 1e6:.0f} MB",
    }
    for key, row in zip(("one", "threads"), rows, strict=True):
        published |= {
            f"{key}/where": row["runs on"],
            f"{key}/portrait": f"{row['portrait, s, best']:.1f} s",
            f"{key}/computed": f"{row['portrait, processor s, best']:.1f} s",
            f"{key}/preview": f"{row['its first preview, s, best']:.2f} s",
            f"{key}/slider": f"{row['slider, s, best']:.1f} s",
            f"{key}/slider-preview": f"{row['its first preview, s']:.2f} s",
            f"{key}/start": f"{row['from Start to the first preview, s']:.1f} s",
            f"{key}/load": f"{row['load average']:.0f}",
        }
    notes = (
        "eta 0; a slider is edited in all steps, so its encoder runs once less often than its "
        "decoder. Start includes unpacking and the start of the runtime."
    )
    print(write("playground", facts, rows, notes, published))


if __name__ == "__main__":
    main()
