"""Sliders (fig. 7) and learning curves (fig. 8a) whose answers are known."""

import math

import pytest
import torch

import hsem
from hsem.evaluation.curves import _drawn, attribute_curve, learning_curve, sharing_none
from hsem.evaluation.effects import edited_scores
from hsem.judges.scorers import select
from hsem.supervised.annotation import annotate
from hsem.supervised.examples import Examples, extremes
from hsem.supervised.means import supervised_direction, supervised_x_T
from tests.painter import HALVES, Painter, halves

SCALES = (-2, -1, 0, 1, 2)
SEEDS = range(500, 506)
QUIET = {"progress": False}


@pytest.fixture(scope="module")
def model():
    return Painter()


def near(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=0, check_dtype=False)


# ------------------------------------------------------------------------------- along a slider


def test_the_curve_of_a_planted_direction_is_a_line(model):
    direction = model.last_step(2, 0.1, -0.05)
    curve = attribute_curve(model, direction, HALVES, SCALES, SEEDS, **QUIET)
    assert curve.scores.shape == (5, 6, 2) and curve.names == ("upper", "lower")
    start = halves(hsem.sample(model, SEEDS, steps=2, progress=False).images).double()
    scales = torch.tensor(SCALES, dtype=torch.float64)
    near(curve.mean("upper"), start[:, 0].mean() + 0.1 * scales)
    near(curve.mean("lower"), start[:, 1].mean() - 0.05 * scales)
    with pytest.raises(ValueError, match="no attribute 'hat'; there are upper, lower"):
        curve.mean("hat")


def test_no_direction_no_curve(model):
    curve = attribute_curve(model, model.last_step(2, 0, 0), HALVES, SCALES, SEEDS, **QUIET)
    assert curve.mean("upper").diff().abs().max() == 0


# ------------------------------------------------------------------------- from n examples


@pytest.fixture(scope="module")
def examples(model):
    table = annotate(model, HALVES, range(400), steps=1, eta=0.0, progress=False)
    return extremes(table, "upper", count=80)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_h_needs_few_examples_and_x_T_many(model, examples):
    """The painter's h has two dimensions that matter, and its x_T 192, of which two matter."""
    counts = (1, 5, 40)
    curve = learning_curve(model, examples, counts, draws=6, generator=generator(), **QUIET)
    h, x_T = (curve.cosine[key].mean(0) for key in ("h", "x_T"))
    assert curve.cosine["h"].shape == (6, 3)
    assert curve.counts == counts and curve.name == "upper" and curve.effect is None
    assert h[1] > 0.95 and x_T[1] < 0.6 and (h > x_T).all()
    assert x_T[0] < x_T[1] < x_T[2]
    # What to expect of x_T: the gap s along one of 192 directions, the noise of a difference of
    # means, variance 2/n, along the others; the reference has noise of its own, n = 40.
    gap = supervised_x_T(model, examples)
    rows = torch.stack([half.flatten() for half in (gap[:, :4], gap[:, 4:])]).sum(1) / 96**0.5
    signal = float(rows.square().sum())
    for k, n in enumerate(counts):
        lengths = math.sqrt((signal + 190 * 2 / n) * (signal + 190 * 2 / 40))
        assert float(x_T[k]) == pytest.approx(signal / lengths, abs=0.12)


def test_unrelated_examples_agree_on_nothing(model):
    """Labels at random: the reference is held out, so nothing rises with n."""
    mixed = torch.randperm(400, generator=generator(1)).tolist()
    grid = model.schedule(1).timesteps
    random = Examples("upper", tuple(mixed[:200]), tuple(mixed[200:]), grid, (0.0,))
    counts = (10, 50, 100)
    apart = learning_curve(model, random, counts, draws=12, generator=generator(), **QUIET)
    assert apart.cosine["x_T"].abs().mean(0).max() < 0.15


def test_draws_are_nested_and_share_nothing_while_they_can(examples):
    counts, pool = (1, 4, 20), examples.first(40)
    found = _drawn(pool, counts, 10, generator())
    sets = [{*zip(e.positive, e.negative, strict=True)} for e in found]
    for d in range(10):
        one, four, twenty = sets[3 * d : 3 * d + 3]
        assert one < four < twenty and len(twenty) == 20
    few = [sets[3 * d + 1] for d in range(10)]
    assert len(set.union(*few)) == 40  # 10 draws of 4 pairs, all different
    assert len(set.union(*[sets[3 * d + 2] for d in range(10)])) == 40  # of 20: they must overlap


@pytest.mark.parametrize(
    ("pool", "draws", "n"), [(40, 10, 4), (40, 10, 13), (37, 20, 18), (5, 9, 5)]
)
def test_draws_that_share_none_are_told_from_those_that_do(examples, pool, draws, n):
    found = _drawn(examples.first(pool), [n], draws, generator())
    sets = [{*zip(e.positive, e.negative, strict=True)} for e in found]
    chosen = [sets[int(d)] for d in sharing_none(torch.arange(draws), n, pool)]
    if n == pool:  # every draw is everything
        assert len(chosen) == draws
        return
    assert len(chosen) > 1 and len(set.union(*chosen)) == n * len(chosen)  # none is in two of them
    for one in sets:  # and no other could be taken with them
        assert one in chosen or any(one & other for other in chosen)


def test_pairs_with_mixed_sides_find_nothing(model, examples):
    """The control: the same pictures, without the label."""
    counts = (5, 20)
    curve = learning_curve(model, examples, counts, draws=8, generator=generator(), **QUIET)
    assert curve.shuffled["h"].shape == curve.cosine["h"].shape
    assert curve.cosine["h"][:, -1].min() > 0.9
    # a sum with random signs: on either side of zero, and sometimes long by chance
    assert curve.shuffled["h"].min() < 0 < curve.shuffled["h"].max()
    assert abs(float(curve.shuffled["x_T"].mean())) < 0.2


def test_the_reference_and_its_effect_are_those_of_equation_11(model, examples):
    """The halves are drawn with the generator, so they can be drawn again, and worked out."""
    settings = {"seeds": SEEDS, "scorer": HALVES, **QUIET}
    curve = learning_curve(model, examples, [3], draws=2, generator=generator(4), **settings)
    reference = examples.draw(80, generator(4)).rows(range(40, 80))
    direction = supervised_direction(model, reference, progress=False)
    plain, moved = (
        edited_scores(model, HALVES, SEEDS, examples.timesteps, edit, eta=0.0)[:, 0].mean()
        for edit in (None, hsem.add(direction))
    )
    assert curve.reference_effect["h"] == pytest.approx(float(moved - plain), abs=1e-5)
    x_T = hsem.draw_noise(model, SEEDS, 0)[0] + supervised_x_T(model, reference)
    by_x_T = edited_scores(model, HALVES, SEEDS, examples.timesteps, None, x_T=x_T, eta=0.0)
    assert curve.reference_effect["x_T"] == pytest.approx(
        float(by_x_T[:, 0].mean() - plain), abs=1e-5
    )
    assert curve.reference_effect["h"] > 0.05
    assert curve.effect["h"].shape == (2, 1) == curve.effect["x_T"].shape


def test_effects_are_compared_at_equal_length(model, examples):
    """A mean of few examples is long but mostly noise; stretched, its effect shows the cosine."""
    curve = learning_curve(
        model,
        examples,
        (1, 40),
        draws=6,
        generator=generator(),
        scorer=HALVES,
        seeds=SEEDS,
        **QUIET,
    )
    share = {key: curve.effect[key].mean(0) / curve.reference_effect[key] for key in curve.effect}
    assert share["h"][1] == pytest.approx(1, abs=0.1)
    assert share["x_T"][0] < 0.5 < share["x_T"][1]  # little of a long vector points the right way


def test_each_draw_has_people_of_its_own(model, examples):
    """Worked out again from the stored directions of the first draw, on its share of the seeds."""
    settings = {"seeds": range(900, 906), "scorer": HALVES, **QUIET}
    curve = learning_curve(model, examples, [2, 9], draws=3, generator=generator(), **settings)
    first = [900, 903]
    x_T = hsem.draw_noise(model, first, 0)[0]

    def mean(edit=None, start=x_T):
        return edited_scores(model, HALVES, first, examples.timesteps, edit, x_T=start, eta=0.0)[
            :, 0
        ].mean()

    for k in range(2):
        in_h, in_x_T = (curve.directions[key][k] for key in ("h", "x_T"))
        assert curve.effect["h"][0, k] == pytest.approx(
            float(mean(hsem.add(in_h)) - mean()), abs=1e-5
        )
        assert curve.effect["x_T"][0, k] == pytest.approx(
            float(mean(start=x_T + in_x_T) - mean()), abs=1e-5
        )
    for found in curve.directions.values():  # as long as the reference, so as long as each other
        assert found[0].norm() == pytest.approx(float(found[1].norm()), rel=1e-5)


def test_a_pool_in_memory_gives_the_same_curve(model, examples):
    crowd = hsem.sample(model, range(400), steps=1, eta=0.0, progress=False)
    stored, fresh = (
        learning_curve(model, examples, [5], generator=generator(), samples=samples, **QUIET)
        for samples in (crowd, None)
    )
    for key in ("h", "x_T"):
        near(stored.cosine[key], fresh.cosine[key])
    with pytest.raises(ValueError, match="do not hold the seeds"):
        part = hsem.sample(model, range(9), steps=1, eta=0.0, progress=False)
        learning_curve(model, examples, [5], generator=generator(), samples=part, **QUIET)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": []}, r"counts must lie in 1..40 \(half of 80, the other half being held out\)"),
        ({"counts": [0, 3]}, "1..40"),
        ({"counts": [41]}, "1..40"),
        ({"draws": 0}, "draws=0"),
        ({"scorer": HALVES, "seeds": [900]}, "one for each of 5 draws"),
        ({"scorer": select(HALVES, ["lower"])}, "no attribute 'upper'; there are lower"),
    ],
)
def test_bad_arguments(model, examples, change, words):
    good = {"examples": examples, "counts": [5], "generator": generator(), **QUIET}
    with pytest.raises(ValueError, match=words):
        learning_curve(model, **{**good, **change})


def test_one_pair_cannot_be_held_out(model, examples):
    with pytest.raises(ValueError, match=r"1..0 \(half of 1"):
        learning_curve(model, examples.first(1), [1], generator=generator(), **QUIET)
