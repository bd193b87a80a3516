"""The recipes of section IV run for any model, and their tables hold together."""

from __future__ import annotations

import importlib

import pytest
import torch

import hsem
from hsem import results

STEPS, N, M = 3, 24, 2


@pytest.fixture(scope="module")
def tables(model, tmp_path_factory) -> tuple[results.Results, results.Results]:
    folder = tmp_path_factory.mktemp("results")
    first, second = folder / "principal.safetensors", folder / "regions.safetensors"
    small = ["--n", N, "--m", M, "--steps", STEPS, "--batch-size", 4, "--output", first]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSEM_CACHE", str(folder))
        for name, options in {
            "principal": small,
            "regions": ["--m", M, "--rank", 4, "--principal", first, "--output", second],
        }.items():
            recipe = importlib.import_module(f"hsem.recipes.{name}")
            recipe.fill(recipe.parser().parse_args(list(map(str, options))), model)
    return results.load(first, model), results.load(second, model)


@pytest.mark.slow
def test_stored_directions_are_those_of_a_harvest(model, tables) -> None:
    stored, _ = tables
    pca = hsem.harvest(
        model, range(N), steps=STEPS, batch_size=4, pca=hsem.HSpacePCA(6), progress=False
    )
    ours = [stored.directions[f"pca/{j}"] for j in range(6)]
    for j, v in enumerate(ours):
        assert v.cosine(pca.direction(j)) > 0.999
        noise = stored.directions.get(f"random/{j}")
        if noise is not None:  # equal norm at every step
            torch.testing.assert_close(noise.step_norms(), v.step_norms(), rtol=1e-2, atol=0)
            assert abs(noise.cosine(v)) < 0.2
    deviation = stored["scores"].std(dim=0)[0]
    torch.testing.assert_close(deviation.double(), ours[0].step_norms(), rtol=0.02, atol=0)


@pytest.mark.slow
def test_tables_of_effects(tables) -> None:
    stored, _ = tables
    columns, scales = len(stored.provenance["columns"]), len(stored["scales"])
    for name, wide in {"pca": scales, "random": scales, "joint": 2, "unaligned": 2}.items():
        assert stored[f"effect/{name}"].shape == (4, wide, M, columns)
    rms = stored["effect/pca"][..., -1].mean(dim=(0, 2))
    assert bool((rms > 0).all()) and rms[0] > rms[3]  # sixteen deviations do more than two
    assert float(stored["plain"][:, -1].abs().max()) == 0.0


@pytest.mark.slow
def test_tables_of_places(tables) -> None:
    _, local = tables
    kinds, columns = local.provenance["kinds"], local.provenance["columns"]
    assert local["measures"].shape == (M, len(kinds), len(columns))
    minus = local["measures_minus"]  # the other way, without the matched ones
    assert minus.shape == (M, len(kinds) - 3, len(columns))
    assert not torch.equal(minus, local["measures"][:, : minus.shape[1]])
    box = local["measures"][..., columns.index("box")]
    assert bool(((box > 0) & (box <= 1)).all())
    shares = local["first_order_share"]  # (m, regions, ignore or penalise)
    assert bool((shares[..., 1] > shares[..., 0] - 0.02).all())
    assert bool((local["products"][..., 1] > local["products"][..., 0]).all())
