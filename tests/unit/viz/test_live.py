"""The playground in a notebook draws what its controls say; no browser is needed."""

from __future__ import annotations

import pytest
import torch

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
    assert "AttributeError" in play.bar.value


def test_bad_input(model: hsem.HSpaceUNet, directions: dict[str, hsem.Direction]) -> None:
    with pytest.raises(ValueError, match="at least one Direction"):
        viz.playground(model, {})
    with pytest.raises(ValueError, match="made for model"):
        viz.playground(hsem.tiny_unet(seed=5, prediction_type="v_prediction"), directions)
