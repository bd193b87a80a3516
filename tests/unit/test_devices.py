"""Tensors of a user may lie anywhere: they go to the model, the answer is where it is said to be.

No second device is needed: "meta" is one that torch will not mix with the CPU. It holds shapes and
no values, so what values do is left to the other tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import hsem
from hsem.judges.classifier import Attribute, PortraitClassifier
from hsem.network.hooks import edit_h
from hsem.supervised.normals import normal_direction
from hsem.unsupervised.products import JacobianProducts

STEPS = 3
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(2, 3, 16, 16, generator=GENERATOR)
Z = torch.randn(2, STEPS, 3, 16, 16, generator=GENERATOR)
H = torch.randn(2, 16, 4, 4, generator=GENERATOR)
H_SEQ = torch.randn(2, STEPS, 16, 4, 4, generator=GENERATOR)


@pytest.fixture()
def away() -> hsem.HSpaceUNet:
    """A model on another device than what its user holds."""
    return hsem.tiny_unet(0).to("meta")


def far(*shape: int) -> Tensor:
    return torch.zeros(shape, device="meta")


def is_away(*tensors: Tensor) -> bool:
    return all(x.device.type == "meta" for x in tensors)


def test_the_device_of_these_tests_does_not_mix_with_the_cpu() -> None:
    """The control: without a move, each of the calls below would stop here."""
    with pytest.raises(RuntimeError, match="device"):
        far(2, 3) + torch.zeros(2, 3)


# -------------------------------------------------------------------------------------- the network


def test_the_two_halves(away: hsem.HSpaceUNet) -> None:
    h, context = away.encode(X, 500)
    assert is_away(h, context.x, context.t_emb, *context.skips)
    assert is_away(away.output(H, context), away.decode(H, context), *away.predict(H, context))
    assert is_away(away.eps(X, 500))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("asyrp", [False, True])
def test_steps(prediction: str, asyrp: bool) -> None:
    away = hsem.tiny_unet(0, prediction).to("meta")
    steps = hsem.sample_steps(
        away, away.schedule(STEPS), X, eta=1.0, z=Z, edit=lambda i, h: H, asyrp=asyrp
    )
    for step in steps:
        assert is_away(step.x, step.h, step.eps, step.x0, step.delta_h)


def test_what_is_no_number_is_still_refused(away: hsem.HSpaceUNet) -> None:
    """A device is a place and is mended; a dtype is a decision and is asked about."""
    with pytest.raises(TypeError, match="outer_dtype"):
        away.encode(X.double(), 500)


EDITS: dict[str, Callable[[], Any]] = {
    "add": lambda: hsem.add(H_SEQ[0]),
    "add, one strength each": lambda: hsem.add(H_SEQ, torch.tensor([1.0, 2.0])),
    "swap": lambda: hsem.swap(H_SEQ),
    "lerp": lambda: hsem.blend(H_SEQ, 0.5),
    "slerp": lambda: hsem.blend(H_SEQ, torch.tensor([0.2, 0.8]), "slerp"),
    "masked": lambda: hsem.masked(hsem.swap(H_SEQ), torch.ones(4, 4)),
    "your own": lambda: lambda i, h: H,
    "masked, your own": lambda: hsem.masked(lambda i, h: H, torch.ones(4, 4)),
    "chain": lambda: hsem.chain(lambda i, h: H, lambda i, h: h + 1, hsem.swap(H_SEQ)),
    "only at": lambda: hsem.only_at(lambda i, h: H, [0, 1]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_edits(away: hsem.HSpaceUNet, edit: Callable[[], Any]) -> None:
    for step in hsem.sample_steps(away, away.schedule(STEPS), X, edit=edit()):
        assert is_away(step.x, step.delta_h)


@pytest.mark.parametrize("half", [None, "conditional"])
def test_an_edit_in_a_stock_pipeline(
    away: hsem.HSpaceUNet, half: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "equal", lambda a, b: True)  # of values; meta has none
    seen: list[Tensor] = []
    handle = away.unet.mid_block.register_forward_hook(lambda _, __, h: seen.append(h))
    wanted = H if half is None else H[:1]
    try:
        with edit_h(away.unet, lambda i, h: wanted, [500], half):
            away.unet(far(2, 3, 16, 16), torch.tensor(500))
    finally:
        handle.remove()
    assert is_away(*seen)


# --------------------------------------------------------------------------------------- samples


def test_samples_are_on_the_cpu_wherever_the_noise_came_from() -> None:
    """Also the noise that is kept; the fields say so."""
    given = _Elsewhere(Z)
    samples = hsem.sample(hsem.tiny_unet(0), x_T=X, z=given, steps=STEPS, progress=False)
    assert given.fetched  # control: only a tensor that was asked to come home is kept
    assert type(samples.given_z) is Tensor and torch.equal(samples.given_z, Z)


class _Elsewhere(Tensor):
    """Values on the CPU that remember whether anybody called .cpu()."""

    fetched = False

    @staticmethod
    def __new__(cls, values: Tensor) -> _Elsewhere:
        return torch.Tensor._make_subclass(cls, values)

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        self.fetched = True
        return self.as_subclass(Tensor).cpu()


# -------------------------------------------------------------------------------------- jacobians


@pytest.fixture()
def without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of the meta device can't be looked at, so nobody looks."""
    monkeypatch.setattr(torch, "isfinite", lambda x: torch.ones(1, dtype=torch.bool, device="cpu"))


@pytest.mark.usefixtures("without_values")
def test_jacobian_products() -> None:
    op = JacobianProducts(lambda h: h[:2] ** 2 * h[2], far(3))
    v, u = torch.ones(4, 3), torch.ones(5, 2)
    assert is_away(op.push(v)) and op.push(v).shape == (4, 2)
    assert is_away(op.pull(u)) and op.pull(u).shape == (5, 3)
    with pytest.raises(RuntimeError, match="device"):  # control: torch itself does not move them
        torch.autograd.grad(op.y, op.h, torch.ones(2), retain_graph=True)


def test_jacobian_products_take_the_type_of_h() -> None:
    matrix = torch.randn(2, 3, generator=GENERATOR, dtype=torch.float64)
    op = JacobianProducts(lambda h: matrix @ h, torch.zeros(3).double())
    v, u = torch.eye(3), torch.eye(2)  # float32, as results are stored
    torch.testing.assert_close(op.push(v), matrix.T)
    torch.testing.assert_close(op.pull(u), matrix)


@pytest.mark.usefixtures("without_values")
def test_the_jacobian_of_a_decoder(away: hsem.HSpaceUNet) -> None:
    with torch.no_grad():
        h, context = away.encode(X[:1], 500)
    op = JacobianProducts(lambda h: away.predict(h, context).x0, h)
    assert is_away(op.push(H[:, None]), op.pull(X[:, None]))


def test_angles_between_subspaces_of_two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsem.unsupervised.jacobian.norm", lambda x: float(is_away(x)))
    assert hsem.largest_principal_angle(far(2, 5), torch.ones(2, 5)) > 0  # where a is


# ---------------------------------------------------------------------------- two tensors, no model


def on_meta() -> Tensor:
    return far(4, STEPS, 16, 4, 4)


def here() -> Tensor:
    return torch.randn(4, STEPS, 16, 4, 4, generator=GENERATOR)


def test_the_second_goes_to_the_first() -> None:
    assert is_away(hsem.mean_difference(on_meta(), here()))
    assert is_away(hsem.slerp(far(2, 3), torch.ones(2, 3), 0.5))
    assert is_away(hsem.slerp(far(2, 3), torch.ones(2, 3), torch.full((2, 1), 0.5)))


def test_a_pca_stays_where_it_began() -> None:
    """Batches of another device are fetched; nothing is learned from meta, so it is the caller."""
    pca = hsem.HSpacePCA(2).fit(here())
    asked: list[Any] = []

    class Batch(Tensor):
        def to(self, *args: Any, **kwargs: Any) -> Tensor:
            asked.extend(a.device if isinstance(a, Tensor) else a for a in args)
            return self.as_subclass(Tensor).to(*args, **kwargs)

    batch = torch.Tensor._make_subclass(Batch, here())
    pca.partial_fit(batch)
    assert torch.device("cpu") in asked
    assert pca.n_samples_seen_ == 8


def test_normals_are_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Tensor] = []

    class There(Tensor):
        def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
            fetched.append(self)
            return self.as_subclass(Tensor).cpu()

    both = [torch.Tensor._make_subclass(There, here()) for _ in range(2)]
    found = normal_direction(*both, (900, 500, 100), method="lda", strength=1.0)
    assert len(fetched) == 2 and found.delta_h.device.type == "cpu"


def test_a_direction_is_rescaled_to_one_of_another_device() -> None:
    grid = (900, 500, 100)
    one = hsem.Direction(here()[0].double(), grid)
    other = hsem.Direction(3 * here()[0], grid)
    scaled = one.rescaled_like(other)
    torch.testing.assert_close(scaled.step_norms(), other.step_norms())
    assert scaled.delta_h.dtype == torch.float64


# ----------------------------------------------------------------------------------- judges, masks


def test_a_judge_fetches_its_pictures() -> None:
    judge = PortraitClassifier((Attribute("smile", "", 0.0, 1.0),), width=4).eval().to("meta")
    pictures = torch.zeros(2, 3, 64, 64)
    assert is_away(judge(pictures), judge.features(pictures), judge.statistics(pictures))


def test_masks_of_any_device() -> None:
    fetched: list[bool] = []

    class There(Tensor):
        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

        def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
            fetched.append(True)
            return self.as_subclass(Tensor).cpu()

    mask = torch.Tensor._make_subclass(There, torch.eye(4))
    assert torch.equal(hsem.masks.from_array(mask), torch.eye(4)) and fetched


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_real_device() -> None:
    model = hsem.tiny_unet(0).to("cuda")
    samples = hsem.sample(model, range(2), steps=STEPS, eta=1.0, progress=False)
    found = hsem.image_directions(model, samples, step=1, k=2, mask=torch.ones(16, 16))
    assert found.v.device.type == "cpu"
    assert hsem.largest_principal_angle(found.v.cuda(), found.v) < 1e-3
    again = hsem.sample(
        model, x_T=samples.x_T.cuda(), z=samples.z, steps=STEPS, eta=1.0, progress=False
    )
    torch.testing.assert_close(again.images, samples.images)
    assert hsem.invert(model, samples.images, steps=STEPS, progress=False).x_T.device.type == "cpu"
