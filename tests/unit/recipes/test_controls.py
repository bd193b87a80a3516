"""Controls of Table I: what is projected out, and what is left."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
import torch

import hsem
from hsem.judges.scorers import from_function
from hsem.recipes import controls, untangling

SHAPE = (3, 8, 4, 4)
STEPS = (900, 500, 100)


def directions() -> dict[str, hsem.Direction]:
    """Five that have a good deal in common."""
    draw = torch.Generator().manual_seed(0)
    shared = torch.randn(SHAPE, generator=draw)
    return {
        name: hsem.Direction(torch.randn(SHAPE, generator=draw) + 0.8 * shared, STEPS, "test", {})
        for name in controls.ATTRIBUTES
    }


@pytest.fixture(scope="module")
def edits() -> dict[str, hsem.Direction]:
    draw = torch.Generator().manual_seed(1)
    mixed = {
        name: hsem.Direction(torch.randn(SHAPE, generator=draw), STEPS, "test", {})
        for name in controls.ATTRIBUTES
    }
    return controls.cut(directions(), mixed, torch.Generator().manual_seed(2))


def test_every_row_of_every_kind(edits) -> None:
    assert list(edits) == [f"{k} {n}" for k in controls.KINDS for n in controls.ATTRIBUTES]


def test_equation_12_and_its_controls(edits) -> None:
    for name, v in directions().items():
        others = [o for n, o in directions().items() if n != name]
        clean, aslant = edits[f"others {name}"], edits[f"angle {name}"]
        assert max(abs(clean.cosine(o)) for o in others) < 1e-6
        # The control loses as much length, and keeps what it has in common with the others.
        assert clean.norm() < 0.9 * v.norm()
        assert aslant.norm() == pytest.approx(clean.norm(), rel=1e-5)
        assert min(abs(aslant.cosine(o)) for o in others) > 0.1
        # Four directions at random take little of 384 numbers.
        assert 0.95 * v.norm() < edits[f"random {name}"].norm() < v.norm()
        assert edits[f"original {name}"].cosine(v) == pytest.approx(1)


def test_draws_differ_from_row_to_row(edits) -> None:
    gone = [edits[f"original {n}"] - edits[f"angle {n}"] for n in controls.ATTRIBUTES]
    assert max(abs(a.cosine(b)) for a, b in pairwise(gone)) < 0.9


def test_labels_are_shuffled_anew_for_each_repeat() -> None:
    model = hsem.tiny_unet(0)
    samples = hsem.sample(model, range(12), steps=3, eta=1.0, progress=False)
    read = from_function(lambda x: x.mean((1, 2, 3))[:, None], ["light"])
    table = hsem.score_samples(model, samples, read)
    own = hsem.supervised_directions(
        model, [hsem.extremes(table, "light", count=4)], samples=samples
    )
    mixed = controls.of_shuffled_labels(model, own, repeats=3)
    assert mixed.shape == (3, 1, *own["light"].delta_h.shape)
    assert not any(
        torch.equal(a, b) for a, b in combinations([*mixed, own["light"].delta_h[None]], 2)
    )
    # Each is the difference of two halves of the same eight samples.
    assert samples.h_seq is not None
    facts = own["light"].provenance
    eight = {*facts["positive_seeds"], *facts["negative_seeds"]}
    halves = [
        samples.h_seq[list(one)].mean(0) - samples.h_seq[list(eight - {*one})].mean(0)
        for one in combinations(sorted(eight), 4)
    ]
    for (v,) in mixed:
        assert min(float((v - half).abs().max()) for half in halves) < 1e-4
    again = controls.of_shuffled_labels(model, own, repeats=3)
    assert torch.equal(again, mixed)


def test_projections_of_what_is_entangled() -> None:
    draw = torch.Generator().manual_seed(3)
    given = directions()
    given["hat"] = hsem.Direction(torch.randn(SHAPE, generator=draw), STEPS, "test", {})  # alone
    found = untangling.projections(given)
    assert "glasses ⊥ age" in found and "age ⊥ glasses" in found
    assert not [name for name in found if "hat" in name]  # control: nothing in common
    for name, v in found.items():
        a, b = name.split(" ⊥ ")
        assert v.norm() == pytest.approx(given[a].norm(), rel=1e-5)
        if b in given:
            assert abs(v.cosine(given[b])) < 1e-6 < untangling.LEAST < given[a].cosine(given[b])
