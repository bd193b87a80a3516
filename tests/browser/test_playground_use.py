"""The playground in use: keyboard, hurried hands, nonsense, two tabs, phones, and a Stop."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

import hsem
from hsem import viz
from tests.browser.playing import (
    LEVELS,
    PAGE,
    ROOT,
    apart,
    pixels,
    reading,
    said,
    start,
    started,
    wait,
)
from tests.browser.test_accessibility import findings
from tests.browser.visit import visit

STATE = f"{ROOT}.dataset.state"
# a black picture, as the worker would send it
BLACK = f"""() => {{
    const p = {ROOT}.playground;
    const pixels = new Uint8ClampedArray(4 * 64 * 64);
    p.hear({{ kind: 'step', id: ID, which: 'after', done: 1, total: 2, pixels }});
}}"""


def test_cells_are_switched_by_keyboard(browser: Browser) -> None:
    with started(browser, "#seed=7&steps=4&hat=1") as seen:
        page = seen.page
        edited = pixels(page, "after")
        page.get_by_role("button", name="row 1, column 1").focus()
        for key in ("ArrowDown", "ArrowRight", "Space"):
            page.keyboard.press(key)
        wait(page)
        cell = page.get_by_role("button", name="row 2, column 2")
        assert cell.get_attribute("aria-pressed") == "false"
        assert "mask=ffbfffffffffffff" in page.url
        assert apart(pixels(page, "after"), edited) > 0
        page.get_by_role("button", name="No cells").click()
        wait(page)
        assert apart(pixels(page, "after"), pixels(page, "before")) == 0
        page.get_by_role("button", name="All cells").click()
        wait(page)
        assert apart(pixels(page, "after"), edited) == 0
        page.get_by_role("button", name="Reset").click()
        wait(page)
        assert page.url.endswith("#seed=7")
        assert page.get_by_role("slider", name="hat").input_value() == "0"


def test_the_picture_is_saved_under_a_name_that_says_what_it_is(browser: Browser) -> None:
    with started(browser, "#seed=7&steps=4&hat=1&yaw=-0.5") as seen:
        with seen.page.expect_download() as download:
            seen.page.get_by_role("button", name="Download the picture").click()
        # in the order of the sliders, whatever that of the link was
        name = "portrait_seed=7_steps=4_yaw=-0.5_hat=1.png"
        assert download.value.suggested_filename == name
        assert download.value.path().read_bytes()[:4] == b"\x89PNG"


def test_by_keyboard_alone(browser: Browser) -> None:
    with visit(browser, PAGE) as seen:
        page = seen.page
        page.evaluate("location.hash = '#seed=7&steps=4'")
        page.get_by_role("button", name="Start").focus()
        page.keyboard.press("Enter")
        wait(page)
        assert said(page) == "Person 7, without an edit."
        focused = "document.activeElement.id"
        assert page.evaluate(focused) == "hsem-seed"
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate(focused) == "hsem-strength-yaw":
                break
        page.keyboard.press("End")
        wait(page)
        assert page.get_by_role("slider", name="yaw").input_value() == "1.5"
        assert re.match(r"Person 7: yaw from \S+° to \S+°", said(page))
        assert page.evaluate(focused) == "hsem-strength-yaw"
        assert seen.errors == [] and seen.outside == []


def test_only_the_last_of_many_moves_is_shown(browser: Browser) -> None:
    model = hsem.load(device="cpu")
    yaw = hsem.results.load("named", model).directions["yaw"].resampled(model.schedule(4))
    edit = hsem.add(yaw, 0.9)
    expected = hsem.sample(
        model, [7], steps=4, eta=0.0, edit=edit, record=(), progress=False
    ).images
    with started(browser, "#seed=7&steps=4") as seen:
        seen.page.evaluate(
            """async () => {
                const yaw = document.getElementById('hsem-strength-yaw');
                for (let k = -9; k <= 9; k++) {
                    yaw.value = k / 10;
                    yaw.dispatchEvent(new Event('input'));
                    await new Promise((go) => setTimeout(go, 15));
                }
            }"""
        )
        wait(seen.page)
        after = pixels(seen.page, "after")
        assert apart(after, viz.to_uint8(expected)[0]) <= LEVELS
        assert "yaw=0.9" in seen.page.url
        # what an earlier state still sends is not shown
        seen.page.evaluate(BLACK.replace("ID", "p.id - 1"))
        assert apart(pixels(seen.page, "after"), after) == 0
        # control: what the present one sends is
        seen.page.evaluate(BLACK.replace("ID", "p.id"))
        assert pixels(seen.page, "after").max() == 0


def test_stop_ends_the_work_and_the_next_move_goes_on(browser: Browser) -> None:
    with started(browser, "#seed=7&steps=4") as seen:
        page = seen.page
        stop = page.get_by_role("button", name="Stop")
        assert stop.get_attribute("aria-disabled") == "true"
        stop.click(force=True)  # nothing to stop
        assert page.evaluate(STATE) == "drawn"
        page.locator("#hsem-steps").fill("50")
        page.wait_for_function("document.querySelector('#hsem-playground progress').value >= 2")
        stop.click()
        assert page.evaluate(STATE) == "stopped"
        assert said(page).startswith("Stopped")
        done = page.locator("#hsem-playground progress").evaluate("bar => bar.value")
        page.wait_for_timeout(1500)
        assert page.locator("#hsem-playground progress").evaluate("bar => bar.value") == done < 50
        assert page.evaluate("document.activeElement.textContent") == "Stop"
        page.locator("#hsem-steps").fill("4")
        wait(page)
        assert said(page) == "Person 7, without an edit."


def test_what_is_typed_stays_within_what_is_possible(browser: Browser) -> None:
    model = hsem.load(device="cpu")
    last = hsem.sample(model, [2**32 - 1], steps=4, eta=0.0, record=(), progress=False).images
    with started(browser, "#seed=7&steps=4") as seen:
        seed = seen.page.get_by_role("spinbutton", name="Seed", exact=True)
        for typed, kept in (
            ("", "7"),
            ("e", "7"),
            ("-5", "0"),
            ("1.6", "2"),
            ("1e99", str(2**32 - 1)),
        ):
            seed.fill("")
            seed.press_sequentially(typed)
            seed.press("Tab")
            wait(seen.page)
            assert seed.input_value() == kept, typed
        assert apart(pixels(seen.page, "before"), viz.to_uint8(last)[0]) <= LEVELS
        window = [seen.page.locator(f"#hsem-{name}") for name in ("from", "to")]
        window[0].fill("9")
        window[0].press("Tab")
        assert [w.input_value() for w in window] == ["4", "4"]
        window[1].fill("2")
        window[1].press("Tab")
        assert [w.input_value() for w in window] == ["2", "2"]
        wait(seen.page)
        assert seen.errors == []


def test_a_link_pasted_into_the_address_is_drawn(browser: Browser) -> None:
    with started(browser, "#seed=7&steps=4&hat=1") as seen:
        before = pixels(seen.page, "before")
        seen.page.evaluate("location.hash = '#seed=8&steps=4&eta=0.5'")
        seen.page.wait_for_function(f"{STATE} === 'drawing'")
        wait(seen.page)
        assert said(seen.page) == "Person 8, without an edit."
        assert apart(pixels(seen.page, "before"), before) > 50
        assert seen.page.get_by_role("slider", name="hat").input_value() == "0"


def test_two_tabs_draw_what_each_was_asked(browser: Browser) -> None:
    context = browser.new_context(offline=True)
    tabs = []
    for seed in (7, 8):
        page = context.new_page()
        page.goto(f"{PAGE.resolve().as_uri()}#seed={seed}&steps=4&yaw=1")
        start(page)
        tabs.append(page)
    first = pixels(tabs[0], "before")
    tabs[1].get_by_role("slider", name="yaw").fill("0")
    wait(tabs[1])
    assert [said(page)[:8] for page in tabs] == ["Person 7", "Person 8"]
    assert apart(pixels(tabs[0], "before"), first) == 0
    assert apart(pixels(tabs[1], "before"), first) > 50
    assert "yaw=1" in tabs[0].url and "yaw" not in tabs[1].url
    assert reading(tabs[1], "yaw")[0] == reading(tabs[1], "yaw")[1]
    context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_accessible_and_within_the_page(browser: Browser, width: int, dark: bool) -> None:
    with started(browser, "#seed=7&steps=4&glasses=1", width, dark) as seen:
        assert findings(seen) == {}
        overhang = seen.page.evaluate(
            f"Math.max(...[...{ROOT}.querySelectorAll('*')]"
            ".map(e => e.getBoundingClientRect().right)) - innerWidth"
        )
        assert overhang <= 0
        # the pictures stay in sight when the reader is at the last control
        seen.page.get_by_role("button", name="No cells").scroll_into_view_if_needed()
        top = seen.page.locator("#hsem-playground canvas").first.bounding_box()
        assert top is not None and 0 <= top["y"] < 200
        # fingers: WCAG 2.5.8 asks for 24 pixels
        small = seen.page.evaluate(
            f"[...{ROOT}.querySelectorAll('button, input, select')].filter(e => "
            "Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height) < 19"
            ").map(e => e.id || e.textContent)"
        )
        assert small == []
