"""An edited run that starts in the middle is the edited run, and costs only what it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hsem
from hsem.diffusion.replay import Replay

STEPS, SEEDS = 6, [3, 5]


@pytest.fixture(params=["epsilon", "v_prediction"])
def model(request: pytest.FixtureRequest) -> hsem.HSpaceUNet:
    return hsem.tiny_unet(prediction_type=request.param)


def direction(model: hsem.HSpaceUNet) -> hsem.Direction:
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(STEPS, *model.h_shape, generator=generator)
    return hsem.Direction(delta, model.schedule(STEPS).timesteps)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("asyrp", [False, True])
@pytest.mark.parametrize("first", [0, 3, 5])
def test_equals_sample(model: hsem.HSpaceUNet, first: int, asyrp: bool, eta: float) -> None:
    options = {"steps": STEPS, "eta": eta, "progress": False}
    replay = Replay(model, SEEDS, steps=STEPS, eta=eta)
    plain = hsem.sample(model, SEEDS, **options)
    assert torch.equal(replay.images, plain.images)
    assert plain.h_seq is not None and torch.equal(replay.h_seq, plain.h_seq)
    edit = hsem.only_at(hsem.add(direction(model), 3.0), range(first, STEPS))
    expected = hsem.sample(model, SEEDS, edit=edit, asyrp=asyrp, **options).images
    for _ in range(2):  # the second time with what the encoder gave the first time
        assert torch.equal(replay.edited(edit, first=first, asyrp=asyrp), expected)
    assert not torch.equal(expected, plain.images)  # control


def test_only_what_changes_is_run(model: hsem.HSpaceUNet, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = Replay(model, [3], steps=STEPS)
    runs = {"encode": 0, "output": 0}

    def counting(name: str) -> Callable[..., Any]:
        method = getattr(model, name)

        def counted(*args: Any) -> Any:
            runs[name] += 1
            return method(*args)

        return counted

    for name in runs:
        monkeypatch.setattr(model, name, counting(name))
    edit = hsem.only_at(hsem.add(direction(model)), range(4, STEPS))
    replay.edited(edit, first=4)
    assert runs == {"encode": 2, "output": 2}  # step 4 is encoded once ...
    replay.edited(edit, first=4)
    assert runs == {"encode": 3, "output": 4}  # ... and then never again


def test_bad_input(model: hsem.HSpaceUNet) -> None:
    replay = Replay(model, [3], steps=STEPS)
    with pytest.raises(ValueError, match="first must be"):
        replay.edited(lambda i, h: h, first=STEPS)
    with pytest.raises(ValueError, match="6 steps"):
        Replay(model, [3], steps=3).edited(hsem.add(direction(model)))
