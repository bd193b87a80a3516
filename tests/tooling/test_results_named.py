"""The recipes of section V run for any model, and what they store is what they should."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from types import ModuleType

import pytest
import torch

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED, edited_scores
from hsem.judges.scorers import from_function

N, COUNT, PEOPLE, STEPS = 24, 4, 2, 20

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """Run a script by name with options; gives the path of what it wrote."""
    folder = tmp_path_factory.mktemp("results")

    def run(name: str, /, output: str | None = None, **options) -> Path:
        path = folder / f"{output or name}.safetensors"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hsem, "load", lambda *args, **kwargs: model)
            patch.setenv("HSEM_CACHE", str(folder))
            recipe = script(name)
            words = [w for key, v in options.items() for w in (f"--{key}", str(v))]
            args = recipe.parser().parse_args([*words, "--output", str(path)])
            assert recipe.fill(args, model) == path
        return path

    return run


def script(name: str) -> ModuleType:
    module = importlib.import_module(f"hsem.recipes.{name}")
    if name == "real_faces":
        module.SETTINGS = ((3, 0), (3, 2))
    return module


@pytest.fixture(scope="module")
def named(run) -> Path:
    return run("named", n=N, count=COUNT, people=PEOPLE)


def test_directions_are_those_of_equation_11(model, named) -> None:
    stored = results.load(named, model)
    judge = hsem.classifier.load()
    table = hsem.annotate(
        model, from_function(judge.raw, judge.names), range(N), steps=STEPS, progress=False
    )
    ours = hsem.supervised_direction(
        model, hsem.extremes(table, "yaw", count=COUNT), progress=False
    )
    assert stored.directions["yaw"].cosine(ours) > 0.999
    assert stored.directions["pitch"].cosine(ours) < 0.99  # control
    torch.testing.assert_close(stored["logits"].double(), table.scores, atol=0.02, rtol=0.01)


def test_curves_are_measured_at_their_scales(model, named) -> None:
    stored = results.load(named, model)
    judge = hsem.classifier.load(hsem.classifier.SECOND)
    people = range(FIRST_SEED, FIRST_SEED + PEOPLE)
    direction = stored.directions["age"]
    for row, scale in enumerate(stored["scales"].tolist()):
        edit = hsem.add(direction, scale) if scale else None
        scores = edited_scores(model, judge, people, direction.timesteps, edit)
        gap = (stored["curve/age"][row] - scores).abs() / judge.spread
        assert gap.max() < 0.05  # stored in 8 and 16 bits
    others = stored["curve/yaw"][-1] - stored["curve/age"][-1]
    assert (others.abs() / judge.spread).max() > 0.05  # control


def test_geometry_measures_pictures_of_its_scales(model, run, named) -> None:
    stored = results.load(run("geometry", people=PEOPLE, draws=1, directions=named), model)
    judge, direction = hsem.geometry.load(), results.load(named, model).directions["smile"]
    people = range(FIRST_SEED, FIRST_SEED + PEOPLE)
    assert stored["curve/smile"].shape == (5, PEOPLE, len(judge.names))
    assert stored["random/smile/0"].shape == (2, PEOPLE, len(judge.names))
    found = [
        edited_scores(model, judge, people, direction.timesteps, hsem.add(direction, scale))
        for scale in stored["scales"][[0, -1]].tolist()
    ]
    for row, scores in zip((0, -1), found, strict=True):
        gap = (stored["curve/smile"][row] - scores).abs() / judge.spread
        assert gap.max() < 0.05  # stored in 8 and 16 bits
    assert ((found[0] - found[1]).abs() / judge.spread).max() > 0.05  # control


def test_table_one_goes_on_where_it_was_stopped(model, run, named) -> None:
    options = {"n": 2, "directions": named}
    once = results.load(run("table_one", repeats=1, **options), model)
    twice = results.load(run("table_one", repeats=2, **options), model)
    key = "disentangled/effects"
    assert len(once[key]) == 1 and len(twice[key]) == 2
    torch.testing.assert_close(twice[key][:1], once[key])
    assert not torch.equal(twice[key][1], twice[key][0])  # other samples
    whole = results.load(run("table_one", output="whole", repeats=2, **options), model)
    torch.testing.assert_close(whole[key], twice[key], atol=1e-3, rtol=1e-2)
    other = results.load(run("table_one", repeats=1, scale=2, **options), model)
    assert len(other[key]) == 1  # other settings: what was there does not count
    assert not torch.allclose(other[key], once[key])


def test_learning_curve_has_a_line_for_each_latent(model, run) -> None:
    stored = results.load(run("learning", n=16, pairs=8, draws=2, people=2, steps=3), model)
    counts = stored["counts"].tolist()
    assert counts == [1, 2] and stored["selected_counts"].tolist() == [1]
    assert stored["fractions"].tolist() == [0.25, 0.5]  # 16 people have no four in a hundred
    for name in ("smile", "yaw"):
        for latent in ("h", "x_T"):
            for what in ("cosine", "shuffled", "effect"):
                assert stored[f"{name}/{what}/{latent}"].shape == (2, 2)
            assert stored[f"{name}/selected/{latent}"].shape == (2, 2, 1)
        assert stored[f"{name}/faces"].shape == (2, 2, *stored["faces"].shape)
    assert stored.provenance["eta"] == 0 and stored.provenance["steps"] == 3


def test_faces_of_the_learning_curve_are_moved_by_what_it_found(model) -> None:
    """The picture over the curve: no direction, no change; and h and x_T each as hsem moves it."""
    recipe = script("learning")
    new = range(FIRST_SEED, FIRST_SEED + recipe.FACES)
    x_T = hsem.draw_noise(model, new, 0)[0]
    common = {"seeds": new, "steps": 3, "eta": 0.0, "record": (), "progress": False}
    some = torch.Generator().manual_seed(1)
    v = {
        "h": torch.randn((1, 3, *model.h_shape), generator=some),
        "x_T": torch.randn((1, *model.image_shape), generator=some),
    }
    plain, moved = recipe.faces_of(model, 3, {}), recipe.faces_of(model, 3, v)
    nothing = recipe.faces_of(model, 3, {key: 0 * each for key, each in v.items()})
    assert torch.equal(nothing, plain.expand_as(nothing)) and plain.dtype == torch.uint8
    expected = (
        hsem.sample(model, edit=hsem.add(recipe.STRENGTH * v["h"][0]), **common),
        hsem.sample(model, x_T=x_T + recipe.STRENGTH * v["x_T"][0], **common),
    )
    for found, run in zip(moved[:, 0], expected, strict=True):
        bytes_of = ((run.images.clamp(-1, 1) + 1) * 127.5).round()
        assert (found - bytes_of).abs().max() <= 1
        assert not torch.equal(found, plain)


def test_sets_of_edits_are_drawn_on_the_same_people(model, run, named) -> None:
    stored = results.load(run("sequence", people=PEOPLE, strength=1.2, directions=named), model)
    edits, scores = stored.provenance["edits"], stored["scores"]
    sets = [frozenset(row.nonzero().flatten().tolist()) for row in stored["sets"]]
    assert len(set(sets)) == len(sets) == 2 ** len(edits) == len(scores)
    v = results.load(named, model).directions
    judge, grid = hsem.judges_of(model)[1], v["smile"].timesteps
    both = hsem.chain(hsem.add(v[edits[0]], 1.2), hsem.add(v[edits[2]], 1.2))
    first = stored.provenance["first_seed"]
    for which, edit in ((frozenset(), None), (frozenset({0, 2}), both)):
        again = edited_scores(model, judge, range(first, first + PEOPLE), grid, edit, eta=1.0)
        torch.testing.assert_close(scores[sets.index(which)], again.float(), atol=2e-2, rtol=2e-2)


def test_jumps_in_every_order_average_to_the_shapley_value() -> None:
    """A left glove and two right ones: only a pair is worth something, and the left one is rare."""
    worth = {
        frozenset(some): torch.tensor(float(0 in some and len(some) > 1))
        for k in range(8)
        for some in [[j for j in range(3) if k >> j & 1]]
    }
    orders, found = script("sequence").jumps(worth, 3)
    assert sorted(orders) == sorted(itertools.permutations(range(3))) and found.shape == (6, 3)
    torch.testing.assert_close(found.mean(0), torch.tensor([2 / 3, 1 / 6, 1 / 6]))
    assert (found.sum(1) == 1).all()  # the end is the same in each order
    where = orders.index((1, 0, 2))
    assert found[where].tolist() == [1, 0, 0]  # the left one comes second, and makes the pair


def surprise_of(model, people: int) -> hsem.Direction:
    """Equation 11 with the inverted pictures of a few people, surprised and neutral, in 4 steps."""
    pictures = hsem.datasets.expressions()
    sides = (rows[:people] for rows in hsem.expression_pairs(pictures, "surprise"))
    found = [
        hsem.invert(model, pictures.images[k], steps=4, fixed_point=1, progress=False)
        for k in sides
    ]
    delta_h = hsem.mean_difference(*(side.h_seq for side in found))
    return hsem.Direction(delta_h, found[0].schedule.timesteps)


def test_expressions_come_from_inverted_pairs(model, run) -> None:
    sizes = {"faces": 2, "people": 2, "rounds": 1, "steps": 4}
    stored = results.load(run("real_faces", **sizes), model)
    assert stored["errors"].shape == (2, 2)
    direction = stored.directions["surprise"]
    ours = surprise_of(model, 2)
    assert direction.cosine(ours) > 0.999
    assert stored.directions["two groups"].cosine(ours) < 0.9  # control
    assert stored.directions["sadness"].cosine(ours) < 0.99


def test_expressions_are_added_to_generated_people(model, run) -> None:
    sizes = {"faces": 2, "people": 2, "rounds": 1, "steps": 4}
    path = run("real_faces", output="given", **sizes)
    stored = results.load(run("expressions", people=2, directions=path), model)
    moves = script("expressions").moves(results.load(path, model).directions)
    six = list(script("real_faces").EXPRESSIONS)
    assert list(moves) == [*six, "two groups", "random"]
    usual = sum(float(moves[name].norm()) for name in six) / 6
    for name in ("two groups", "random"):
        assert float(moves[name].norm()) == pytest.approx(usual, rel=1e-3)
    assert abs(moves["random"].cosine(moves["two groups"])) < 0.1
    judge, first = hsem.judges_of(model)[1], stored.provenance["first_seed"]
    v = moves["fear"]
    for name, edit in (("plain", None), ("fear", hsem.add(v, stored.provenance["scale"]))):
        again = edited_scores(model, judge, range(first, first + 2), v.timesteps, edit, eta=1.0)
        torch.testing.assert_close(stored[name], again.float(), atol=2e-2, rtol=2e-2)
    assert not torch.equal(stored["fear"], stored["plain"])  # control


def test_pairs_split_the_open_mouth_from_the_brows(model, run) -> None:
    stored = results.load(run("pairs", pairs=4, people=2, steps=4, draws=2), model)
    assert stored["counts"].tolist() == [1, 2] and stored["cosine"].shape == (2, 2)
    direction = stored.directions["mouth_open"]
    ours = surprise_of(model, 4)
    assert direction.cosine(ours) > 0.999
    # Both halves of the map were measured, and each with its own mask.
    lower = script("pairs").lower_rows(model.h_shape)
    judge = hsem.classifier.load(hsem.classifier.SECOND)
    for name, mask in (("lower", lower), ("upper", 1 - lower)):
        edit = hsem.masked(hsem.add(direction, 2.0), mask)
        people = range(FIRST_SEED, FIRST_SEED + 2)
        scores = edited_scores(model, judge, people, direction.timesteps, edit)
        assert ((stored[f"curve/{name}"][-1] - scores).abs() / judge.spread).max() < 0.05
    apart = (stored["curve/lower"][-1] - stored["curve/upper"][-1]).abs() / judge.spread
    assert apart.max() > 0.1  # control


def test_swaps_have_their_parents_and_controls(model, run) -> None:
    stored = results.load(run("swap", n=3), model)
    s1, s2, to_2, to_1, mixed, noise = stored["ordinary"]
    judge = hsem.classifier.load(hsem.classifier.SECOND)
    common = {"steps": STEPS, "eta": 0.0, "progress": False}
    a, b = (hsem.sample(model, range(k, k + 3), **common) for k in (0, 500_000))
    child = hsem.sample(model, range(3), edit=hsem.swap(b.h_seq), **common)
    for found, images in ((s1, a.images), (s2, b.images), (to_2, child.images)):
        torch.testing.assert_close(
            found, judge(images.clamp(-1, 1)) / judge.spread, atol=0.02, rtol=0.01
        )
    assert (to_2 - s1).abs().max() > 0.02  # control: the swap does something
    assert not torch.equal(to_1, to_2) and not torch.equal(mixed, noise)
    assert set(stored.provenance["fingerprints"]) == {"ordinary"}  # the twin is the default model's


def networks(found: results.Results) -> set[str]:
    return {key.split("/")[0] for key in found.tensors}


def test_swaps_of_weights_that_are_gone_are_kept(model, run) -> None:
    path = run("swap", output="ages", n=2, also="early=runs/early")
    first = results.load(path, model)
    assert networks(first) == {"ordinary", "early"}
    assert {k for k in first.tensors if k.startswith("early/")}  # more than swaps
    again = results.load(run("swap", output="ages", n=2), model)
    assert again.tensors.keys() == first.tensors.keys()
    for key in (k for k in first.tensors if k.startswith("early")):
        torch.testing.assert_close(again[key], first[key], rtol=0, atol=0)
    assert again.provenance["fingerprints"] == first.provenance["fingerprints"]
    other = results.load(run("swap", output="ages", n=3), model)  # other settings
    assert networks(other) == {"ordinary"} and other["ordinary"].shape[1] == 3
