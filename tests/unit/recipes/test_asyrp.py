"""The recipe for SM B: what a step moves with and without Asyrp, and that the recipe runs."""

from __future__ import annotations

import pytest
import torch

import hsem
from hsem import results
from hsem.recipes import asyrp

STEPS = 10


@pytest.fixture(scope="module")
def direction(model) -> hsem.Direction:
    noise = torch.randn(1, *model.h_shape, generator=torch.Generator().manual_seed(3))
    return hsem.spread_over_steps(noise[0], model.schedule(STEPS))


@pytest.mark.parametrize(("eta", "power"), [(1.0, 1.0), (0.0, 0.5)])
def test_first_order_is_one_minus_a_ratio_of_signal_to_noise(model, eta, power) -> None:
    grid = model.schedule(STEPS)
    found = asyrp.first_order(grid, eta)
    levels = [a for _, a, _ in grid]
    for i in range(STEPS - 1):
        before, after = (a / (1 - a) for a in (levels[i], levels[i + 1]))
        assert float(found[i]) == pytest.approx(1 - (before / after) ** power, abs=1e-6)
    assert float(found[-1]) == 1  # D is nothing in the last step
    other = asyrp.first_order(grid, 1 - eta)
    assert float((found - other)[1:-2].abs().min()) > 0.1  # control: another eta, another number


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_first_order_is_what_one_step_of_the_sampler_does(model, direction, eta) -> None:
    grid, factors = model.schedule(STEPS), asyrp.first_order(model.schedule(STEPS), eta)
    for i in (2, 5, STEPS - 1):
        first = {"seeds": [0, 1], "schedule": grid, "eta": eta, "record": ("x",), "progress": False}
        edit = hsem.only_at(hsem.add(direction, 2.0), [i])
        before = hsem.sample(model, **first).x_seq[:, i]
        plain, by_asyrp = (
            hsem.sample(model, edit=edit, asyrp=a, **first).x_seq[:, i] - before
            for a in (False, True)
        )
        fit = float((plain * by_asyrp).sum() / by_asyrp.square().sum())
        assert fit == pytest.approx(float(factors[i]), abs=1e-3)
        rest = (plain - float(factors[i]) * by_asyrp).norm() / plain.norm()
        assert float(rest) < 1e-2


def test_a_scale_for_each_step_makes_asyrp_the_plain_edit_while_edits_are_small(model, direction):
    grid = model.schedule(STEPS)
    r = asyrp.first_order(grid, 1.0)
    common = {"seeds": [0, 1], "schedule": grid, "eta": 1.0, "record": (), "progress": False}
    plain_v = direction * 0.02
    none = hsem.sample(model, **common).images
    plain = hsem.sample(model, edit=hsem.add(plain_v), **common).images

    def left(shift: torch.Tensor) -> float:
        found = hsem.sample(model, edit=hsem.add(shift), asyrp=True, **common).images
        return float((found - plain).norm() / (none - plain).norm())

    assert left(plain_v.delta_h * r.view(-1, 1, 1, 1)) < 0.02
    assert left(plain_v.delta_h * r.mean()) > 0.1  # control: one scale for all steps
    assert left(plain_v.delta_h) > 0.2


def test_derivatives_are_taken_in_float32_and_the_model_is_left_as_it_was() -> None:
    from tests.tooling.conftest import small

    model = small().to(dtype=torch.bfloat16)
    with results.in_dtype(model, torch.float32):
        assert model.dtype == torch.float32
    assert model.dtype == torch.bfloat16
    with pytest.raises(ValueError), results.in_dtype(model, torch.float32):
        raise ValueError
    assert model.dtype == torch.bfloat16


@pytest.mark.slow
def test_the_recipe_runs(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HSEM_CACHE", str(tmp_path))
    results.load_or_make("named", model, n=24, count=4, people=2)
    results.load_or_make("principal", model, n=24, m=2, batch_size=8)
    stored = results.load_or_make("asyrp", model, people=3, images=2, rank=2)
    kinds, columns = stored.provenance["kinds"], stored.provenance["columns"]
    for name in asyrp.NAMES:
        assert stored[name].shape == (len(kinds), 3, len(columns))
        apart = stored[f"apart/{name}"]
        assert float(apart[kinds.index("plain")].max()) == 0  # from itself
        assert float(apart[kinds.index("none")].min()) > 0
        assert stored[f"others/{name}"].shape == (3 * (len(kinds) - 2), 3)
    again = hsem.sample(
        model, range(asyrp.FIRST, asyrp.FIRST + 3), steps=20, record=(), progress=False
    ).images
    scores = hsem.judges_of(model)[1](again.clamp(-1, 1))
    # other batches in half precision: compared in deviations of the judge
    unit = hsem.judges_of(model)[1].spread
    assert ((stored["yaw"][0] - scores.float()) / unit).abs().max() < 0.05
    assert stored["own/v"].shape == (2, 2, *model.h_shape)
    assert float(stored["own/v"][0, 0].norm()) == pytest.approx(1, abs=1e-2)
    assert not list((tmp_path / "parts").glob("asyrp*"))
