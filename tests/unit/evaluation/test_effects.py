"""Effects of edits: a matrix whose truth is known, Table I of planted directions, bad input."""

import dataclasses

import numpy as np
import pytest
import torch

import hsem
from hsem.directions.direction import Direction
from hsem.evaluation.effects import FIRST_SEED, EffectMatrix, effect_matrix, table_one
from hsem.judges.scorers import from_function, select
from hsem.supervised.annotation import annotate
from hsem.supervised.examples import extremes
from hsem.supervised.means import disentangle, supervised_directions
from tests.painter import HALVES, Painter, halves

STEPS = 2
QUICK = {"n": 4, "repeats": 2, "progress": False}


@pytest.fixture(scope="module")
def model():
    return Painter()


@pytest.fixture(scope="module")
def planted(model):
    """ "upper" changes upper by 0.1 and lower by 0.04; "lower" changes lower by -0.2 alone."""
    return {"upper": model.last_step(STEPS, 0.1, 0.04), "lower": model.last_step(STEPS, 0, -0.2)}


TRUTH = torch.tensor([[0.1, 0.04], [0.0, -0.2]], dtype=torch.float64)


def near(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=0, check_dtype=False)


# -------------------------------------------------------------------------------- known effects


def test_planted_effects_are_measured(model, planted):
    matrix = effect_matrix(model, planted, HALVES, **QUICK)
    assert matrix.rows == ("upper", "lower") == matrix.columns
    assert matrix.effects.shape == (2, 2, 2) and matrix.n == 4 and matrix.scorer == "halves"
    near(matrix.mean, TRUTH)
    near(matrix.sizes.mean(0), TRUTH.abs())
    near(matrix.deviation, torch.zeros(2, 2))
    assert matrix.strongest == ("upper", "lower")


def test_no_edit_no_effect(model, planted):
    nothing = {name: direction * 0.0 for name, direction in planted.items()}
    assert effect_matrix(model, nothing, HALVES, **QUICK).sizes.max() == 0


def test_what_a_scorer_does_not_look_at_has_no_effect_on_it(model, planted):
    upper = effect_matrix(model, planted, select(HALVES, ["upper"]), **QUICK)
    near(upper.mean, TRUTH[:, :1])
    assert upper.strongest == ("upper", "upper")


@pytest.mark.parametrize(
    ("scale", "factors"), [(2.0, (2.0, 2.0)), ({"lower": -0.5, "upper": 3.0}, (3.0, -0.5))]
)
def test_strength_of_all_and_of_each(model, planted, scale, factors):
    matrix = effect_matrix(model, planted, HALVES, scale=scale, **QUICK)
    near(matrix.mean, TRUTH * torch.tensor(factors)[:, None])


def test_each_repeat_edits_samples_of_its_own(model, planted):
    """With a score that is not linear the effect depends on the sample: worked out by hand."""
    squares = from_function(lambda x: halves(x) ** 2, ["upper", "lower"])
    matrix = effect_matrix(model, planted, squares, n=5, repeats=3, progress=False)
    seeds = range(FIRST_SEED, FIRST_SEED + 15)
    plain = halves(hsem.sample(model, seeds, steps=STEPS, progress=False).images).double()
    change = torch.stack([(plain + row) ** 2 - plain**2 for row in TRUTH])  # (rows, 15, k)
    by_repeat = change.unflatten(1, (3, 5))
    near(matrix.effects, by_repeat.mean(2).transpose(0, 1))
    near(matrix.sizes, by_repeat.abs().mean(2).transpose(0, 1))
    near(matrix.spread, (plain**2).std(0))
    near(matrix.deviation, by_repeat.mean(2).std(1))
    assert matrix.deviation[0, 0] > 1e-4  # control: repeats do differ
    assert matrix.sizes[0, 0, 0] > matrix.effects[0, 0, 0].abs() + 1e-4  # signs cancelled
    other = effect_matrix(model, planted, squares, n=5, repeats=3, progress=False, first_seed=7)
    assert (other.effects - matrix.effects).abs().max() > 1e-4


def test_one_repeat_has_no_deviation(model, planted):
    matrix = effect_matrix(model, planted, HALVES, n=3, repeats=1, progress=False)
    assert matrix.deviation.isnan().all()


def test_the_matrix_of_found_directions_is_the_gap_between_their_examples(model):
    """In one step h is the picture, so a mean difference moves the scores by their difference."""
    table = annotate(model, HALVES, range(200), steps=1, progress=False)
    chosen = [extremes(table, name, count=40) for name in HALVES.names]
    found = supervised_directions(model, chosen, progress=False)
    matrix = effect_matrix(model, found, HALVES, **QUICK)
    gaps = [
        table.scores[list(each.positive)].mean(0) - table.scores[list(each.negative)].mean(0)
        for each in chosen
    ]
    near(matrix.mean, torch.stack(gaps))
    others = matrix.mean.abs() - matrix.mean.diag().diag().abs()
    assert others.sum() / 2 > 0.2 * matrix.mean.diag().mean()  # entangled, as built


# --------------------------------------------------------------------------------------- Table I


def test_table_one_of_planted_directions(model, planted):
    table = table_one(model, planted, HALVES, **QUICK)
    near(table.original.mean, TRUTH)
    v = TRUTH.numpy()
    clean = np.stack(
        [v[0] - v[0] @ v[1] / (v[1] @ v[1]) * v[1], v[1] - v[1] @ v[0] / (v[0] @ v[0]) * v[0]]
    )  # equation 12 with one condition, on paper
    near(table.disentangled.mean, torch.from_numpy(clean))
    assert table.original.rows == table.disentangled.rows == ("upper", "lower")
    # The known limit of equation 12: "upper" is now pure, but "lower" was pure before, and is
    # made to cross over, since it was asked to be orthogonal to an impure direction.
    assert abs(clean[0, 1]) < 1e-12 and abs(clean[1, 0]) > 0.05


def test_orthogonal_directions_stay_as_they_are(model):
    pure = {"upper": model.last_step(STEPS, 0.1, 0), "lower": model.last_step(STEPS, 0, 0.1)}
    table = table_one(model, pure, HALVES, **QUICK)
    near(table.original.mean, table.disentangled.mean)


def test_two_impure_directions_of_two_pure_attributes(model):
    """Equally impure on both sides: each loses its part, and crosses over by as much."""
    both = {"upper": model.last_step(STEPS, 0.2, 0.1), "lower": model.last_step(STEPS, 0.1, 0.2)}
    table = table_one(model, both, HALVES, keep_norm=True, **QUICK)
    near(table.disentangled.mean.diag(), torch.tensor([0.2, 0.2]))
    off = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    near(table.disentangled.mean * off, -0.1 * off, 1e-3)  # 0.1 turned round: nothing gained


def test_scales_reach_both_halves(model, planted):
    scale = {"upper": 2.0, "lower": 0.5}
    plain, scaled = (table_one(model, planted, HALVES, scale=s, **QUICK) for s in (1.0, scale))
    for half, twice in zip(plain, scaled, strict=True):
        near(twice.mean, half.mean * torch.tensor([[2.0], [0.5]]))


def test_names_of_directions_are_free(model, planted):
    """A name that looks like one of the function's own must not mix up the halves."""
    odd = {"upper": planted["upper"], "disentangled upper": planted["lower"]}
    table = table_one(model, odd, HALVES, **QUICK)
    near(table.original.mean, TRUTH)


def test_per_step_projection_is_passed_on(model):
    g = torch.Generator().manual_seed(0)
    grid = model.schedule(3).timesteps
    found = {n: Direction(0.02 * torch.randn(3, 2, 1, 1, generator=g), grid) for n in HALVES.names}
    joint, each = (table_one(model, found, HALVES, per_step=p, **QUICK) for p in (False, True))
    near(joint.original.effects, each.original.effects)
    assert (joint.disentangled.mean - each.disentangled.mean).abs().max() > 1e-4
    by_hand = effect_matrix(model, disentangle(found, per_step=True), HALVES, **QUICK)
    near(by_hand.effects, each.disentangled.effects)


# ------------------------------------------------------------------------------ reading a matrix


def matrix_of(effects, rows=("a", "b"), columns=("a", "b"), spread=None):
    spread = torch.ones(len(columns)) if spread is None else torch.tensor(spread)
    return EffectMatrix(rows, columns, effects, effects.abs(), spread, n=10)


def test_in_deviations():
    effects = torch.tensor([[[1.0, 6.0], [3.0, -2.0]]])
    matrix = matrix_of(effects, spread=[0.5, 4.0])
    counted = matrix.in_deviations()
    near(counted.mean, torch.tensor([[2.0, 1.5], [6.0, -0.5]]))
    near(counted.sizes[0], torch.tensor([[2.0, 1.5], [6.0, 0.5]]))
    assert counted.unit == "deviations" and matrix.unit == "score"
    assert torch.equal(counted.in_deviations().effects, counted.effects)  # once is enough
    assert matrix.strongest == ("b", "a") and counted.strongest == ("a", "a")  # units matter


def test_constant_scores_have_no_deviation():
    flat = matrix_of(torch.ones(1, 2, 2), spread=[0.0, 1.0])
    with pytest.raises(ValueError, match=r"\['a'\] do not vary.*only\(\)"):
        flat.in_deviations()
    assert flat.only(["b"]).in_deviations().unit == "deviations"


def test_only_chooses_orders_and_renames():
    effects = torch.arange(6.0).reshape(1, 2, 3)
    matrix = matrix_of(effects, columns=("a", "b", "c"))
    near(matrix.only(["c", "a"]).mean, torch.tensor([[2.0, 0.0], [5.0, 3.0]]))
    assert matrix.only({"clip c": "c"}).columns == ("clip c",)
    with pytest.raises(ValueError, match="no attribute 'd'; there are a, b, c"):
        matrix.only(["d"])


def test_a_matrix_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        matrix_of(torch.ones(1, 2, 2)).n = 3


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"directions": {}}, "at least one direction.*got 0"),
        ({"n": 1}, "two samples.*n=1"),
        ({"repeats": 0}, "one repeat.*repeats=0"),
        ({"scale": {"upper": 1.0}}, "no entry for 'lower'; it has upper"),
    ],
)
def test_bad_arguments(model, planted, change, words):
    good = {"directions": planted, "scorer": HALVES, **QUICK}
    with pytest.raises(ValueError, match=words):
        effect_matrix(model, **{**good, **change})


def test_directions_of_other_steps_or_models_are_refused(model, planted):
    with pytest.raises(ValueError, match="do not match"):
        effect_matrix(model, {**planted, "hat": model.last_step(3, 1, 1)}, HALVES, **QUICK)
    foreign = dataclasses.replace(planted["upper"], provenance={"fingerprint": "another"})
    with pytest.raises(ValueError, match="another"):
        effect_matrix(model, {"upper": foreign}, HALVES, **QUICK)


def test_missing_scores_are_refused(model, planted):
    def sometimes(images):
        scores = halves(images)
        scores[1:, 1] = float("nan")
        return scores

    scorer = from_function(sometimes, ["upper", "lower"], "sometimes")
    with pytest.raises(ValueError, match=r"sometimes returned NaN for \{'lower': 3\} of 4"):
        effect_matrix(model, planted, scorer, **QUICK)
    near(effect_matrix(model, planted, select(scorer, ["upper"]), **QUICK).mean, TRUTH[:, :1])
