"""The playground: the model runs on the built page, opened from disk with the network off."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import torch
from playwright.sync_api import Browser

import hsem
from hsem import viz
from hsem.judges.scorers import scores_of
from tests.browser.playing import (
    LEVELS,
    PAGE,
    ROOT,
    apart,
    pixels,
    reading,
    said,
    started,
    wait,
)
from tests.browser.visit import visit

STEPS = 8


@pytest.fixture(scope="module")
def model() -> hsem.HSpaceUNet:
    return hsem.load(device="cpu")


def test_a_seed_gives_the_face_of_python_and_yaw_moves_by_keyboard(
    browser: Browser, model: hsem.HSpaceUNet
) -> None:
    expected = hsem.sample(model, seeds=[7, 8], steps=STEPS, eta=0.0, record=(), progress=False)
    faces = viz.to_uint8(expected.images)
    with started(browser, f"#seed=7&steps={STEPS}&from=4") as seen:
        before = pixels(seen.page, "before")
        assert apart(before, faces[0]) <= LEVELS
        assert apart(before, faces[1]) > 50  # control: another seed is another face
        judge = hsem.classifier.load(hsem.classifier.SECOND)
        python = float(scores_of(judge, expected.images[:1])[0, judge.names.index("yaw")])
        assert reading(seen.page, "yaw")[0] == pytest.approx(python, abs=0.2)

        seen.page.locator("#hsem-from").fill("1")
        slider = seen.page.get_by_role("slider", name="yaw")
        slider.focus()
        for _ in range(12):
            slider.press("ArrowRight")
        wait(seen.page)
        assert slider.input_value() == "0.6"
        assert apart(pixels(seen.page, "after"), before) > 30
        assert apart(pixels(seen.page, "before"), before) == 0
        was, now = reading(seen.page, "yaw")
        assert now - was > 5, "degrees"
        assert "yaw from" in said(seen.page)
        assert "yaw=0.6" in seen.page.url

        # control: a random direction of the same length at every step
        slider.fill("0")
        seen.page.get_by_label("Same length as").select_option("yaw")
        seen.page.get_by_role("slider", name="Strength").fill("0.6")
        wait(seen.page)
        assert "random=0.6" in seen.page.url
        was_r, now_r = reading(seen.page, "yaw")
        assert abs(now_r - was_r) < (now - was) / 2
        assert seen.outside == []
        assert seen.errors == []


def test_every_control_does_what_python_does(browser: Browser, model: hsem.HSpaceUNet) -> None:
    """Fresh noise, two directions, a random one, h of another person, a mask, a window, Asyrp."""
    link = (
        f"#seed=7&steps={STEPS}&eta=0.5&glasses=0.8&smile=-0.5&random=0.4&randomSeed=5"
        "&randomLike=glasses&swap=3&from=3&to=6&asyrp=1&mask=ffffff0000ffffff"
    )
    named = hsem.results.load("named", model).directions
    schedule = model.schedule(STEPS)
    other = hsem.sample(model, seeds=[3], steps=STEPS, eta=0.5, progress=False)
    assert other.h_seq is not None
    control = hsem.random_like(named["glasses"], torch.Generator().manual_seed(5))
    terms = {0.8: named["glasses"], -0.5: named["smile"], 0.4: control}
    mask = torch.ones(8, 8)
    mask[3:5] = 0
    edit = hsem.chain(
        hsem.swap(other.h_seq), *(hsem.add(d.resampled(schedule), s) for s, d in terms.items())
    )
    edit = hsem.only_at(hsem.masked(edit, mask), range(2, 6))
    expected = hsem.sample(
        model, seeds=[7], steps=STEPS, eta=0.5, edit=edit, asyrp=True, progress=False
    )
    plain = hsem.sample(model, seeds=[7], steps=STEPS, eta=0.5, record=(), progress=False)
    with started(browser, link) as seen:
        assert apart(pixels(seen.page, "before"), viz.to_uint8(plain.images)[0]) <= LEVELS
        assert apart(pixels(seen.page, "after"), viz.to_uint8(expected.images)[0]) <= LEVELS
        # control: without Asyrp it is another picture
        seen.page.get_by_label("Asyrp").uncheck()
        wait(seen.page)
        assert apart(pixels(seen.page, "after"), viz.to_uint8(expected.images)[0]) > LEVELS
        # the plain run was kept, and the encoder ran for no step up to the first edited one
        runs = seen.page.evaluate(f"JSON.parse({ROOT}.dataset.runs)")
        assert runs == {"encoder": STEPS - 3, "decoder": STEPS - 2}


def test_nothing_large_is_loaded_before_start(browser: Browser) -> None:
    with visit(browser, PAGE) as seen:
        asked: list[str] = []
        seen.page.on("request", lambda request: asked.append(request.url))
        seen.page.reload(wait_until="networkidle")
        seen.page.evaluate("document.fonts.ready.then(() => 0)")  # the last to be asked for
        files = [Path(unquote(urlparse(url).path)) for url in asked if url.startswith("file:")]
        assert PAGE in files
        assert any(f.name == "page.js" for f in files)
        sizes = {f: len(gzip.compress(f.read_bytes())) for f in files}  # as hosts send it
        assert sum(sizes.values()) < 1_000_000
        assert not [f for f in files if f.name == "fontawesome.js"]  # lighter.py
        ours = [f for f in files if f.parent.name == "playground"]
        assert sum(sizes[f] for f in ours) < 20_000
        assert not [f for f in files if f.parent.name == "live"]


NOISE = """([seed, n]) => {
    const g = new (hsemNoise().Generator)(seed);
    return [[...g.randn(n)], [...g.randn(n)], [...g.randn64(n)]];
}"""


@pytest.mark.parametrize(("seed", "n"), [(0, 16), (7, 12288), (2**32 - 1, 100)])
def test_noise_is_that_of_torch(browser: Browser, seed: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    expected = [torch.randn(n, generator=generator) for _ in range(2)]
    double = torch.randn(n, generator=generator, dtype=torch.float64)
    with visit(browser, PAGE) as seen:
        got = [torch.tensor(x, dtype=torch.float64) for x in seen.page.evaluate(NOISE, [seed, n])]
    for a, b in zip(got[:2], expected, strict=True):
        assert (a - b).abs().max() < 2e-6
    assert (got[2] - double).abs().max() < 1e-12
    assert (got[1] - expected[0]).abs().max() > 0.1  # control: the second draw is another


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_timesteps_and_noise_levels(browser: Browser, spacing: str) -> None:
    alpha_bar = torch.linspace(0.999, 0.001, 1000, dtype=torch.float64)
    about = {"alpha_bar": alpha_bar.tolist(), "timestep_spacing": spacing, "steps_offset": 1}
    with visit(browser, PAGE) as seen:
        for steps in (1, 3, 16, 48, 1000):
            offset = 1 if spacing == "leading" and steps < 1000 else 0
            got = seen.page.evaluate(
                "([about, steps]) => hsemDiffusion().timesteps(about, steps)",
                [about | {"steps_offset": offset}, steps],
            )
            expected = hsem.Schedule.spaced(alpha_bar, steps, spacing, offset).timesteps
            assert tuple(got) == expected


HOSTILE = (
    "#seed=abc&steps=1e9&eta=NaN&random=Infinity&swap=-1&randomSeed=1.5&from=0&mask=xyz"
    "&__proto__=1&constructor=1&on=<img src=x onerror=alert(1)>&yaw=9"
)


def test_a_link_may_say_anything(browser: Browser) -> None:
    with visit(browser, PAGE) as seen:
        state = seen.page.evaluate("h => hsemState.read(h)", HOSTILE)
        assert state["strengths"] == {} and set(state) == {"strengths", "ignored"}
        assert len(state["ignored"]) == 12
        # control: what fits is taken
        good = seen.page.evaluate("hsemState.read('#seed=4294967295&steps=4&yaw=-1.5&mask=f0')")
        assert good == {
            "seed": 2**32 - 1, "steps": 4, "strengths": {"yaw": -1.5}, "ignored": [],
            "mask": [1, 1, 1, 1, 0, 0, 0, 0],
        }  # fmt: skip
    with started(browser, "#seed=abc&steps=4&foo=1&mask=f0") as seen:
        assert seen.page.url.endswith("#seed=7&steps=4")
        told = seen.page.inner_text(".hsem-where")
        assert "Left out of the link: seed=abc, foo=1, mask." in told
        assert seen.errors == []
