"""Where the playground runs: hosts with and without threads, GPUs that fail, old browsers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import hsem
from hsem import viz
from tests.browser.chromium import FLAGS, find
from tests.browser.hosts import serve
from tests.browser.playing import LEVELS, PAGE, ROOT, STATIC, apart, pixels, said, start, wait
from tests.browser.visit import visit

SITE = STATIC.parent
LINK = "#seed=7&steps=4&glasses=1"


@pytest.fixture(scope="module")
def expected() -> list[object]:
    """The same two pictures of Python."""
    model = hsem.load(device="cpu")
    glasses = hsem.results.load("named", model).directions["glasses"].resampled(model.schedule(4))
    return [
        viz.to_uint8(
            hsem.sample(model, [7], steps=4, eta=0.0, edit=e, record=(), progress=False).images
        )[0]
        for e in (None, hsem.add(glasses, 1.0))
    ]


def opened(browser: Browser, url: str, script: str = "") -> tuple[Page, list[str]]:
    """A page in a context of its own, and the requests it makes."""
    page = browser.new_context().new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    if script:
        page.add_init_script(script)
    page.goto(url)
    return page, asked


@pytest.mark.parametrize("isolated", [False, True], ids=["plain", "isolated"])
def test_on_a_static_host_in_a_folder(
    browser: Browser, expected: list[object], isolated: bool
) -> None:
    with serve(SITE, prefix="/some/folder", isolated=isolated) as host:
        page, asked = opened(browser, f"{host}/book/playground.html{LINK}")
        start(page)
        for which, picture in zip(("before", "after"), expected, strict=True):
            assert apart(pixels(page, which), picture) <= LEVELS  # type: ignore[arg-type]
        cores = min(os.cpu_count() or 1, 8)
        many = isolated and cores > 1
        assert (f" on {cores} threads:" if many else " on one thread:") in page.inner_text(
            ".hsem-where"
        )
        assert page.evaluate("crossOriginIsolated") is isolated
        away = [url for url in asked if not url.startswith((host, "data:", "blob:"))]
        assert away == []
        page.context.close()


# the page is offered this GPU; its worker, which has Chromium's own, finds none
FAKE = """Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: %s } })"""
ADAPTER = "async () => ({ info: { isFallbackAdapter: %s } })"


@pytest.mark.parametrize(
    ("adapter", "tried"),
    [
        (ADAPTER % "false", True),  # makes no session: the processor goes on
        (ADAPTER % "true", False),  # a GPU in software is slower than the processor
        ("async () => null", False),
        ("async () => { throw new Error('lost') }", False),
    ],
    ids=["fails", "software", "none", "throws"],
)
def test_without_a_gpu_that_works_the_processor_draws(
    browser: Browser, expected: list[object], adapter: str, tried: bool
) -> None:
    page, asked = opened(browser, PAGE.resolve().as_uri() + LINK, FAKE % adapter)
    start(page)
    assert apart(pixels(page, "after"), expected[1]) <= LEVELS  # type: ignore[arg-type]
    assert " on one thread:" in page.inner_text(".hsem-where")
    assert any(url.endswith("webgpu.js") for url in asked) is tried
    page.context.close()


@pytest.mark.skipif(
    os.environ.get("HSEM_WEBGPU") != "1", reason="takes minutes in software; HSEM_WEBGPU=1 runs it"
)
def test_webgpu_draws_the_same(browser: Browser, expected: list[object]) -> None:
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"]
    flags += ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    chromium = browser.browser_type.launch(executable_path=find(), args=flags)
    page, _ = opened(chromium, PAGE.resolve().as_uri() + LINK + "&on=webgpu")
    page.get_by_role("button", name="Start").click()
    wait(page, seconds=900)
    assert " on the GPU:" in page.inner_text(".hsem-where")
    for which, picture in zip(("before", "after"), expected, strict=True):
        assert apart(pixels(page, which), picture) <= LEVELS  # type: ignore[arg-type]
    chromium.close()


def test_a_gpu_that_gives_up_while_it_draws(browser: Browser) -> None:
    page, _ = opened(browser, PAGE.resolve().as_uri() + LINK)
    start(page)
    before = pixels(page, "after")
    page.evaluate(
        f"""() => {{ const p = {ROOT}.playground; p.gpu = true; {ROOT}.dataset.state = 'drawing';
            p.hear({{ kind: 'failed', id: p.id, message: 'device lost' }}); }}"""
    )
    wait(page)
    assert apart(pixels(page, "after"), before) == 0
    assert page.evaluate(f"{ROOT}.playground.gpu") is False
    # control: on the processor a failure is told
    page.evaluate(
        f"""() => {{ const p = {ROOT}.playground;
            p.hear({{ kind: 'failed', id: p.id, message: 'out of memory' }}); }}"""
    )
    assert page.evaluate(f"{ROOT}.dataset.state") == "failed"
    assert said(page).startswith("It failed: out of memory.")
    page.context.close()


def test_a_copy_without_the_model_says_so(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(STATIC / "playground", tmp_path / "_static/playground")
    (tmp_path / "book").mkdir()
    shutil.copy(PAGE, tmp_path / "book")
    with visit(browser, tmp_path / "book/playground.html") as seen:
        seen.page.get_by_role("button", name="Start").click()
        seen.page.wait_for_function(f"/built without the model/.test({ROOT}.textContent)")
        assert seen.page.locator(".hsem-fallback img").is_visible()
        assert seen.page.get_by_role("button", name="Start").is_enabled()  # to try again


@pytest.mark.parametrize(
    ("lacks", "script"),
    [
        ("WebAssembly", "delete window.WebAssembly"),
        ("SIMD in WebAssembly", "WebAssembly.validate = () => false"),
        ("workers", "delete window.Worker"),
        ("DecompressionStream", "delete window.DecompressionStream"),
    ],
)
def test_an_old_browser_is_told(browser: Browser, lacks: str, script: str) -> None:
    page, _ = opened(browser, PAGE.resolve().as_uri(), script)
    assert f"has no {lacks}." in said(page)
    assert page.locator("#hsem-playground > button").is_hidden()
    assert page.locator(".hsem-fallback img").is_visible()
    page.context.close()


def test_without_javascript_there_is_the_board(browser: Browser) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(PAGE.resolve().as_uri())
    assert page.locator("#hsem-playground > button").is_hidden()
    assert page.locator(".hsem-fallback img").is_visible()
    assert "switched off" in page.inner_text("#hsem-playground noscript")
    page.context.close()
