"""The playground in a notebook draws what its controls say; no browser is needed."""

from __future__ import annotations

import base64
import html
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

import hsem
from hsem import viz
from hsem.diffusion import replay as replays
from hsem.judges.scorers import from_function

STEPS = 6


@pytest.fixture
def model() -> hsem.HSpaceUNet:
    return hsem.tiny_unet(prediction_type="v_prediction")


@pytest.fixture
def directions(model: hsem.HSpaceUNet) -> dict[str, hsem.Direction]:
    generator = torch.Generator().manual_seed(0)
    grid = model.schedule(4).timesteps
    facts = hsem.provenance_of(model)
    return {
        name: hsem.Direction(
            5 * torch.randn(4, *model.h_shape, generator=generator), grid, "random", facts
        )
        for name in ("yaw", "hat")
    }


def expected(model: hsem.HSpaceUNet, edit: hsem.Edit, **options: object) -> torch.Tensor:
    options = {"steps": STEPS, "eta": 0.0, "progress": False} | options
    return hsem.sample(model, [7], edit=edit, **options).images  # type: ignore[arg-type]


def test_controls_are_the_edit(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]
) -> None:
    play = viz.playground(model, directions, steps=STEPS)
    plain = hsem.sample(model, [7], steps=STEPS, eta=0.0, progress=False)
    assert torch.equal(play.images, plain.images.repeat(2, 1, 1, 1))
    grid = plain.schedule
    moved = {name: d.resampled(grid) for name, d in directions.items()}

    play.strengths["yaw"].value = 0.5
    one = hsem.chain(hsem.add(moved["yaw"], 0.5))
    assert torch.equal(play.images[1:], expected(model, one))
    assert torch.equal(play.images[:1], plain.images)

    play.swapped.value, play.other.value = True, 3
    play.random.value, play.random_like.value, play.random_seed.value = 0.25, "hat", 9
    play.window.value, play.asyrp.value = (3, 5), True
    play.cells[0].value = False
    other = hsem.sample(model, [3], steps=STEPS, eta=0.0, progress=False)
    assert other.h_seq is not None
    control = hsem.random_like(directions["hat"], torch.Generator().manual_seed(9))
    mask = torch.ones(model.h_shape[1:])
    mask[0, 0] = 0
    all_of_it = hsem.only_at(
        hsem.masked(
            hsem.chain(
                hsem.swap(other.h_seq), hsem.add(moved["yaw"], 0.5),
                hsem.add(control.resampled(grid), play.random.value),
            ),
            mask,
        ),
        range(2, 5),
    )  # fmt: skip
    assert torch.equal(play.images[1:], expected(model, all_of_it, asyrp=True))
    assert not torch.equal(play.images[1:], expected(model, all_of_it))  # control: no Asyrp


def test_a_slider_does_not_repeat_the_person(
    model: hsem.HSpaceUNet,
    directions: dict[str, hsem.Direction],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    monkeypatch.setattr(
        "hsem.viz.live.Replay", lambda *a, **k: made.append(a) or replays.Replay(*a, **k)
    )
    play = viz.playground(model, directions, steps=STEPS)
    play.strengths["yaw"].value = 0.5
    play.strengths["hat"].value = 0.5
    assert len(made) == 1
    play.person.value = 8
    assert len(made) == 2


def test_a_slider_runs_the_network_in_its_window_only_and_the_judge_once(
    model: hsem.HSpaceUNet,
    directions: dict[str, hsem.Direction],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = {"encode": 0, "output": 0, "judge": 0}

    def counted(name: str) -> None:
        inner = getattr(hsem.HSpaceUNet, name)

        def call(*args: object) -> object:
            runs[name] += 1
            return inner(*args)

        monkeypatch.setattr(hsem.HSpaceUNet, name, call)

    def light(x: torch.Tensor) -> torch.Tensor:
        runs["judge"] += len(x)
        return x.mean(dim=(1, 2, 3))[:, None]

    def since(before: dict[str, int]) -> list[int]:
        return [runs[name] - before[name] for name in runs]

    counted("encode")
    counted("output")
    play = viz.playground(model, directions, scorer=from_function(light, ["light"]), steps=STEPS)
    assert list(runs.values()) == [STEPS, STEPS, 1]
    play.window.value = (4, STEPS)
    assert list(runs.values()) == [STEPS, STEPS, 1]  # nothing is edited yet
    play.strengths["yaw"].value = 0.5
    before = dict(runs)
    play.strengths["yaw"].value = 0.6  # steps 4 to 6; what the encoder gave at 4 is kept
    assert since(before) == [2, 3, 1]
    before = dict(runs)
    play.person.value = 8  # control: another person is drawn anew, and read
    assert since(before) == [STEPS + 3, STEPS + 3, 2]


def test_steps_take_the_window_with_them(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]
) -> None:
    play = viz.playground(model, directions, steps=STEPS)
    play.strengths["yaw"].value = 0.5
    play.window.value = (2, STEPS)
    play.steps.value = 8
    assert play.window.value == (2, 8)
    play.window.value = (2, 4)
    play.steps.value = 3
    assert play.window.value == (2, 3)
    yaw = directions["yaw"].resampled(model.schedule(3))
    edit = hsem.only_at(hsem.add(yaw, 0.5), [1, 2])
    assert torch.equal(play.images[1:], expected(model, edit, steps=3))


def test_readings_alternative_text_and_errors_are_shown(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]
) -> None:
    scorer = from_function(lambda x: x.mean(dim=(1, 2, 3))[:, None], ["light"])
    play = viz.playground(model, directions, scorer=scorer, steps=STEPS)
    assert 'alt="person 7 before and after the edit"' in play.shown.value
    light = float(play.images[0].clamp(-1, 1).mean())
    assert f"light</th><td>{light:.2f}" in play.shown.value

    play.directions["hat"] = None  # type: ignore[assignment]  # something breaks
    with pytest.raises(AttributeError):
        play.strengths["hat"].value = 0.5
    assert "AttributeError" in play.said.value


def test_buttons(model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]) -> None:
    play = viz.playground(model, directions, steps=STEPS, seed=3)
    drawn = count_draws(play)
    play.strengths["yaw"].value = 0.5
    edited = play.images.clone()
    play.no_cells.click()
    assert torch.equal(play.images[0], play.images[1]) and not any(play.state()["mask"])
    play.all_cells.click()
    assert torch.equal(play.images, edited)
    play.steps.value, play.eta.value = 4, 0.5
    play.swapped.value, play.asyrp.value, play.random.value = True, True, 0.25
    play.window.value = (2, 3)
    before = len(drawn)
    play.reset.click()
    assert len(drawn) == before + 1  # not once for each control
    plain = hsem.sample(model, [3], steps=STEPS, eta=0.0, progress=False)
    assert torch.equal(play.images, plain.images.repeat(2, 1, 1, 1))
    assert play.link.value == f"#seed=3&steps={STEPS}"
    play.dice.click()
    assert play.person.value != 3 or len(drawn) == before + 2


def count_draws(play: viz.Playground) -> list[int]:
    """Grows by one whenever the widget draws."""
    drawn: list[int] = []
    draw = play.draw
    play.draw = lambda: (drawn.append(1), draw())[1]  # type: ignore[method-assign]
    return drawn


def test_a_link_carries_everything(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]
) -> None:
    one = viz.playground(model, directions, steps=STEPS)
    one.person.value, one.steps.value, one.eta.value = 9, 5, 0.5
    one.strengths["yaw"].value, one.strengths["hat"].value = 0.5, -1.0
    one.random.value, one.random_like.value, one.random_seed.value = 0.25, "hat", 4
    one.asyrp.value, one.window.value = True, (2, 4)
    one.swapped.value, one.other.value = True, 3
    one.cells[0].value = False
    two = viz.playground(model, directions, steps=STEPS)
    drawn = count_draws(two)
    two.link.value = "https://example.org/book/playground.html" + one.link.value
    assert two.state() == one.state() and torch.equal(two.images, one.images)
    assert len(drawn) == 1
    assert two.said.value == ""
    two.person.value = 10  # control: another state has another link
    assert two.link.value != one.link.value


@pytest.mark.parametrize(
    "wrong",
    ["seed=abc", "seed=-1", "seed=1.5", "seed=nan", "steps=1e9", "eta=inf", "eta=2", "yaw=9",
     "nose=1", "asyrp=2", "from=0", "mask=xyz", "mask=ff", "mask=", "randomLike=nose",
     "__class__=1", "swap=<img src=x>"],
)  # fmt: skip
def test_what_a_link_cannot_mean_is_left_out_and_named(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction], wrong: str
) -> None:
    play = viz.playground(model, directions, steps=STEPS)
    play.link.value = f"#{wrong}&steps=4&hat=0.5"
    assert html.escape(wrong) in play.said.value and "<img" not in play.said.value
    state = play.state()
    assert (state["steps"], state["strengths"]["hat"], state["seed"]) == (4, 0.5, 7)
    assert play.link.value == "#seed=7&steps=4&hat=0.5"


def test_the_picture_to_save_is_the_edited_one(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]
) -> None:
    play = viz.playground(model, directions, steps=STEPS)
    play.strengths["yaw"].value = 0.5
    found = re.search(r'download="([^"]+)" href="data:image/png;base64,([^"]+)"', play.shown.value)
    assert found is not None and found[1] == f"portrait_seed=7_steps={STEPS}_yaw=0.5.png"
    saved = Image.open(io.BytesIO(base64.b64decode(found[2])))
    assert min(saved.size) >= 256
    before, after = (
        np.asarray(Image.fromarray(picture).resize(saved.size, Image.Resampling.BILINEAR))
        for picture in viz.to_uint8(play.images)
    )
    assert np.array_equal(saved, after)
    assert not np.array_equal(saved, before)  # control


def test_the_bar_counts_the_steps_that_are_run(
    model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]
) -> None:
    play = viz.playground(model, directions, steps=STEPS)
    seen: list[tuple[int, int]] = []
    play.bar.observe(lambda change: seen.append((change["new"], play.bar.max)), names="value")
    play.window.value = (4, STEPS)
    seen.clear()
    play.strengths["yaw"].value = 0.5  # steps 4 to 6
    assert [v for v in seen if v[0]] == [(1, 3), (2, 3), (3, 3)]
    seen.clear()
    play.person.value = 8
    assert seen[-1] == (STEPS + 3, STEPS + 3)


def test_any_network() -> None:
    """The layout of CelebA-HQ, predicting eps, with h of another size and no judge."""
    model = hsem.random_network(size=64, channels=4)
    grid = model.schedule(4).timesteps
    delta = torch.randn(4, *model.h_shape, generator=torch.Generator().manual_seed(0))
    facts = hsem.provenance_of(model)
    play = viz.playground(
        model, {"first": hsem.Direction(delta, grid, "random", facts)}, steps=4, seed=2**32 - 1
    )
    assert len(play.cells) == 4
    play.strengths["first"].value = 1.0
    play.cells[1].value = False
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    edit = hsem.masked(hsem.chain(hsem.add(play.directions["first"], 1.0)), mask)
    assert torch.equal(
        play.images[1:],
        hsem.sample(model, [2**32 - 1], steps=4, eta=0.0, edit=edit, progress=False).images,
    )
    assert not torch.equal(play.images[0], play.images[1])  # control: the edit does something
    assert play.link.value == f"#seed={2**32 - 1}&steps=4&first=1&mask=b"
    link, play.person.value = play.link.value, 3
    play.link.value = link
    assert play.state()["mask"] == [True, False, True, True]


def test_bad_input(model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]) -> None:
    with pytest.raises(ValueError, match="at least one Direction"):
        viz.playground(model, {})
    with pytest.raises(ValueError, match="made for model"):
        viz.playground(hsem.tiny_unet(seed=5, prediction_type="v_prediction"), directions)
