"""Directions lent to strangers, and those of other moments: what is stored is what was drawn."""

from __future__ import annotations

import importlib

import pytest
import torch

import hsem
from hsem import results
from hsem.recipes import moments, sheets, transfer
from hsem.recipes.reference import judges_of, region_of
from hsem.unsupervised.local import image_spectrum

STEPS, RANK = 3, 4
OPTIONS = {"steps": STEPS, "progress": False}
SMALL = {"transfer": ["--owners", 2, "--people", 2, "--rank", RANK], "moments": ["--m", 2]}


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory) -> dict[str, results.Results]:
    folder = tmp_path_factory.mktemp("lent")
    first = folder / "principal.safetensors"
    small = ["--n", 24, "--m", 2, "--steps", STEPS, "--batch-size", 4]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSEM_CACHE", str(folder))
        for name, options in {"principal": small, **SMALL}.items():
            more = [] if name == "principal" else ["--principal", first]
            words = [*options, *more, "--output", folder / f"{name}.safetensors"]
            recipe = importlib.import_module(f"hsem.recipes.{name}")
            recipe.fill(recipe.parser().parse_args(list(map(str, words))), model)
    return {name: results.load(folder / f"{name}.safetensors", model) for name in SMALL}


def test_a_sheet_gives_its_pictures_back() -> None:
    ramp = torch.linspace(-1, 1, 16)
    images = torch.stack([ramp.view(1, -1).expand(16, -1), ramp.view(-1, 1).expand(-1, 16)])
    images = images[None, :, None].expand(3, -1, 3, -1, -1) * torch.tensor([1.0, 0.5, 0.0]).view(
        3, 1, 1, 1, 1
    )
    back = sheets.unpacked(sheets.packed(images), 3, 2)
    assert back.shape == images.shape
    assert float((back - images).abs().mean()) < 0.03
    assert float((back.flip(1) - images).abs().mean()) > 0.2  # control: columns exchanged
    assert float((back.flip(0) - images).abs().mean()) > 0.2


@pytest.mark.slow
def test_a_stranger_was_edited_with_the_direction_of_the_owner(model, stored) -> None:
    lent = stored["transfer"]
    facts, judge = lent.provenance, judges_of(model)[1]
    owner, stranger = facts["first_seed"] + 1, facts["first_stranger"] + 1
    run = hsem.sample(model, [owner], record=("h",), **OPTIONS)
    found = hsem.image_directions(
        model, run, step=facts["step"], k=1, mask=region_of(model, "mouth"),
        outside="penalise", rank=RANK,
    )  # fmt: skip

    def change(seed: int) -> torch.Tensor:
        edit = hsem.add(found[0], torch.tensor([-1.0, 1.0]) * facts["gamma"])
        ends = hsem.sample(model, [seed] * 2, edit=edit, record=(), **OPTIONS).images
        plain = hsem.sample(model, [seed], record=(), **OPTIONS).images
        return judge(ends.clamp(-1, 1)) - judge(plain.clamp(-1, 1))

    n, kind = facts["attributes"], "focused mouth"
    others = lent["strangers"][1, facts["lent"].index(kind)][..., :n]  # (ends, people, n)
    own = lent["owners"][1, facts["kinds"].index(kind)][..., :n]
    close = {"rtol": 0.02, "atol": 2e-3}
    torch.testing.assert_close(others[:, 1], change(stranger), **close)
    torch.testing.assert_close(own, change(owner), **close)
    assert not torch.allclose(others[:, 0], change(stranger), **close)  # another stranger
    assert facts["kinds"] == transfer.KINDS and len(facts["lent"]) == 3


@pytest.mark.slow
def test_directions_of_a_moment_are_applied_at_it_and_at_all(model, stored) -> None:
    times = stored["moments"]
    facts = times.provenance
    seed, i, j = facts["first_seed"] + 1, 1, 2
    run = hsem.sample(model, [seed], record=("h",), **OPTIONS)
    at = image_spectrum(model, run, steps=facts["moments"], k=facts["k"], progress=False)[i]
    edit = hsem.add(at[j], facts["gamma"])
    edits = (hsem.only_at(edit, [facts["moments"][i]]), edit)
    column, n = facts["columns"].index("rms"), len(facts["moments"])
    kept = times["measures"][1, i, :, j, 1, column]  # at its own step, at all
    sizes = []
    for w, how in enumerate(edits):
        one = hsem.sample(model, [seed], edit=how, record=(), **OPTIONS).images
        sizes.append((one - run.images).square().mean().sqrt())
        shown, other = (
            sheets.unpacked(times[f"sheet/{w}/{k}"], n, 2 * facts["k"])[i, 2 * j + 1]
            for k in (1, 0)
        )
        gap = (shown - one[0].clamp(-1, 1)).abs().mean()
        assert gap < 0.8 * (other - one[0].clamp(-1, 1)).abs().mean()  # control: another image
    torch.testing.assert_close(kept, torch.stack(sizes), rtol=0.02, atol=1e-3)
    assert not torch.allclose(kept.flip(0), torch.stack(sizes), rtol=0.02, atol=1e-3)
    assert len(facts["moments"]) == len({round(a * STEPS) for a in moments.AT})
