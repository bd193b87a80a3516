"""The recipes of section IV run for any model, and their tables hold together."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

import hsem
from hsem import results
from hsem.judges import geometry

STEPS, N, M = 3, 24, 2


@pytest.fixture(scope="module")
def tables(model, tmp_path_factory) -> tuple[results.Results, results.Results]:
    folder = tmp_path_factory.mktemp("results")
    first, second, named = (folder / f"{n}.safetensors" for n in ("principal", "regions", "named"))
    small = ["--n", N, "--m", M, "--steps", STEPS, "--batch-size", 4, "--output", first]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSEM_CACHE", str(folder))
        for name, options in {
            "principal": small,
            "named": ["--n", N, "--count", 4, "--people", 2, "--output", named],
            "regions": [
                "--m", M, "--rank", 4, "--principal", first, "--directions", named,
                "--output", second,
            ],
        }.items():  # fmt: skip
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
def test_the_direction_kept_by_number_is_the_one_that_gluing_changes_most(model, tables) -> None:
    stored, _ = tables
    spread = hsem.judges_of(model)[1].spread.cpu()
    scales = stored["scales"].tolist()
    at = [scales.index(-2.0), scales.index(2.0)]
    glued, by_number = (
        ((stored[f"effect/{kind}"] - stored["plain"])[..., : len(spread)] / spread)
        .square().mean(dim=-1).sqrt().mean(dim=-1)
        for kind in ("pca", "unaligned")
    )  # (tracks, scales)  # fmt: skip
    gain = glued[:, at].mean(dim=1) - by_number.mean(dim=1)
    (kept,) = (int(k.split("/")[1]) for k in stored.directions if k.startswith("unaligned"))
    assert float(gain.max() - gain[kept]) < 1e-4


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


@pytest.mark.slow
def test_shapes_are_those_of_pictures_drawn_again(model, tables) -> None:
    """Geometry, scores of the unedited, and eyes without glasses, against a run of their own."""
    _, local = tables
    facts, judge = local.provenance, hsem.judges_of(model)[1]
    seed, options = facts["first_seed"] + 1, {"steps": STEPS, "progress": False}
    run = hsem.sample(model, [seed], record=("h",), **options)
    torch.testing.assert_close(
        local["plain"][1:], judge(run.images.clamp(-1, 1)), rtol=0.01, atol=1e-3
    )
    found = hsem.image_directions(
        model, run, step=facts["step"], k=1, mask=hsem.region_of(model, "eyes")
    )[0]
    path = Path(facts["command"].split("--directions ")[1].split()[0])
    glasses = results.load(path, model).directions["glasses"].resampled(model.schedule(STEPS))
    cleared = hsem.project_out(found, [glasses]).rescaled_like(found)
    shaper = geometry.load()
    for kind, v in {"masked eyes": found, "cleared masked": cleared}.items():
        ends = torch.tensor(facts["ends"]) * facts["gamma"]
        images = hsem.sample(
            model, [seed] * 2, edit=hsem.add(v, ends), record=(), **options
        ).images  # fmt: skip
        mine = shaper(images.clamp(-1, 1)) - shaper(run.images.clamp(-1, 1))
        row = facts["kinds"].index(kind)
        torch.testing.assert_close(local["geometry"][1, row], mine, rtol=0.02, atol=0.05)
        assert not torch.allclose(local["geometry"][0, row], mine, rtol=0.02, atol=0.05)
    assert local["geometry_seen"].max() <= 1 and len(facts["shapes"]) == len(facts["shape_spread"])
