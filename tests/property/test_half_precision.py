"""A network in bfloat16 inside a sampler in float32: the same people, with small errors."""

from __future__ import annotations

import pytest
import torch

import hsem


def rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(dim=(1, 2, 3)).sqrt()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_picture_of_a_seed_stays_that_of_the_same_person(eta: float) -> None:
    common = {"seeds": range(3), "steps": 8, "eta": eta, "progress": False}
    exact = hsem.sample(hsem.load(device="cpu"), **common)
    half = hsem.sample(hsem.load(device="cpu", dtype=torch.bfloat16), **common)
    assert half.images.dtype == half.h_seq.dtype == torch.float32
    wrong = rms(half.images - exact.images)
    other = rms(exact.images.roll(1, 0) - exact.images)
    assert (wrong > 0).all()  # control: the two networks do differ
    assert wrong.max() < other.min() / 20
    assert (half.h_seq - exact.h_seq).norm() < 0.03 * exact.h_seq.norm()


def test_edits_and_derivatives_see_float32() -> None:
    model = hsem.tiny_unet().to(dtype=torch.bfloat16)
    seen = []

    def edit(i: int, h: torch.Tensor) -> torch.Tensor:
        seen.append(h.dtype)
        return h

    hsem.sample(model, [0], steps=2, edit=edit, progress=False)
    assert seen == [torch.float32] * 2
    h, context = model.encode(torch.randn(1, *model.image_shape), 500)
    h.requires_grad_()
    model.decode(h, context).sum().backward()
    assert h.grad is not None and h.grad.dtype == torch.float32


def test_x_in_half_precision_is_refused_with_the_remedy() -> None:
    model = hsem.tiny_unet().to(dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"takes torch\.float32.*outer_dtype"):
        model.encode(torch.zeros(1, *model.image_shape, dtype=torch.bfloat16), 0)


def test_fast_is_asked_of_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    for capable, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda c=capable: {"avx512_bf16": c}, raising=False
        )
        assert hsem.fast_dtype("cpu") == dtype
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert hsem.fast_dtype("cpu") == torch.float32  # torch before it could tell
