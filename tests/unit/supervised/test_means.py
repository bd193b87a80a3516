"""Equation 11 in h and in x_T, streamed or from memory; projection of many conditions."""

import itertools

import pytest
import torch

import hsem
from hsem.directions.direction import Direction, project_out
from hsem.directions.edits import add
from hsem.judges.scorers import from_function
from hsem.supervised.annotation import annotate
from hsem.supervised.examples import Examples, extremes
from hsem.supervised.means import (
    accumulated,
    disentangle,
    mean_difference,
    pair_weights,
    supervised_direction,
    supervised_directions,
    supervised_x_T,
    weighted_h,
)

STEPS = 3


@pytest.fixture(scope="module")
def model():
    return hsem.tiny_unet(0)


def examples(model, positive, negative, name="smile", eta=1.0):
    timesteps = model.schedule(STEPS).timesteps
    return Examples(name, tuple(positive), tuple(negative), timesteps, (eta,) * STEPS)


def h_of(model, seeds, eta=1.0):
    return hsem.sample(model, seeds, steps=STEPS, eta=eta, progress=False).h_seq


# ------------------------------------------------------------------------------------- equation 11


def test_mean_difference_recovers_a_planted_direction():
    """Pairs that differ by v and share all else: the pairing cancels what they share, exactly."""
    g = torch.Generator().manual_seed(0)
    shared = torch.randn(6, 2, 3, 4, 4, generator=g, dtype=torch.float64)
    v = torch.randn(2, 3, 4, 4, generator=g, dtype=torch.float64)
    torch.testing.assert_close(mean_difference(shared + v, shared), v)
    other = torch.randn(6, 2, 3, 4, 4, generator=g, dtype=torch.float64)
    assert (mean_difference(shared + v, other) - v).norm() > 0.5 * v.norm()  # control: no pairs


def test_the_error_of_unpaired_examples_falls_as_one_over_the_root_of_n():
    g = torch.Generator().manual_seed(0)
    v = torch.ones(500)
    noise = torch.randn(2, 256, 500, generator=g)
    errors = [
        float((mean_difference(v + noise[0, :n], noise[1, :n]) - v).norm())
        for n in (4, 16, 64, 256)
    ]
    ratios = [a / b for a, b in itertools.pairwise(errors)]
    assert all(1.7 < r < 2.3 for r in ratios)  # four times the examples, half the error


@pytest.mark.parametrize(
    ("a", "b"), [((3, 5), (4, 5)), ((3, 5), (3, 4)), ((0, 5), (0, 5)), ((3,), (3,))]
)
def test_mean_difference_refuses_what_is_not_n_against_n(a, b):
    with pytest.raises(ValueError, match="equally many"):
        mean_difference(torch.zeros(a), torch.zeros(b))


# ----------------------------------------------------------------------------------------- in h


def test_streamed_direction_equals_the_one_from_all_h_in_memory(model):
    chosen = examples(model, (5, 9, 1), (2, 8, 30))
    direction = supervised_direction(model, chosen, batch_size=2, progress=False)
    expected = mean_difference(h_of(model, chosen.positive), h_of(model, chosen.negative))
    torch.testing.assert_close(direction.delta_h, expected, atol=1e-5, rtol=1e-5)
    assert direction.timesteps == chosen.timesteps and direction.method == "supervised"
    about = direction.provenance
    assert about["attribute"] == "smile" and about["n"] == 3 and about["eta"] == 1.0
    assert about["positive_seeds"] == [5, 9, 1] and about["fingerprint"] == model.fingerprint


def test_both_passes_see_the_same_h(model):
    """h while annotating and h when a chosen seed is generated again: the reason to keep no h."""
    seen: dict[int, torch.Tensor] = {}
    seeds = list(range(6))
    for k in seeds:  # the first pass, one by one
        seen[k] = h_of(model, [k])[0]
    for k in (4, 1):  # the second: to the last bit in a batch of the same size
        weights = torch.ones(1, 1, dtype=torch.float64)
        again = weighted_h(model, (k,), weights, examples(model, (k,), (99,)), progress=False)[0]
        assert torch.equal(again, seen[k].double())
    among_others = h_of(model, [4, 17, 1, 30, 2])  # and to rounding in any other
    torch.testing.assert_close(among_others[0], seen[4], atol=1e-5, rtol=1e-5)
    assert (among_others[0] - seen[1]).abs().max() > 1e-2  # control: seeds differ far more


def test_several_attributes_in_one_run_are_each_as_alone(model):
    a = examples(model, (1, 2), (3, 4), "a")
    b = examples(model, (3, 5), (1, 6), "b")  # shares seeds, with other signs
    both = supervised_directions(model, [a, b], progress=False)
    for each in (a, b):
        alone = supervised_direction(model, each, progress=False)
        torch.testing.assert_close(both[each.name].delta_h, alone.delta_h, atol=1e-5, rtol=1e-5)
    seeds, weights = pair_weights([a, b])
    assert seeds == (1, 2, 3, 4, 5, 6)
    assert weights.tolist() == [[0.5, 0.5, -0.5, -0.5, 0, 0], [-0.5, 0, 0.5, 0, 0.5, -0.5]]


def test_directions_from_samples_in_memory(model):
    """The crowd that was scored may be averaged as it is: the same direction, nothing run again."""
    a, b = examples(model, (1, 2), (3, 4), "a"), examples(model, (3, 5), (1, 6), "b")
    crowd = hsem.sample(model, (6, 5, 4, 3, 2, 1, 0), steps=STEPS, progress=False)  # any order
    stored = supervised_directions(model, [a, b], samples=crowd)
    fresh = supervised_directions(model, [a, b], progress=False)
    for name in ("a", "b"):
        torch.testing.assert_close(stored[name].delta_h, fresh[name].delta_h, atol=1e-5, rtol=1e-5)
        assert stored[name].provenance == fresh[name].provenance
    assert (stored["a"].delta_h - fresh["b"].delta_h).abs().max() > 1e-3  # control


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"record": ()}, "record="),
        ({"edit": lambda i, h: h}, "without an edit"),
        ({"steps": STEPS + 1}, "different timesteps or eta"),
        ({"eta": 0.0}, "different timesteps or eta"),
        ({"seeds": range(3)}, r"do not hold the seeds \[3, 4\].*\(2 are missing\)"),
        ({"seeds": None, "x_T": torch.zeros(7, 3, 16, 16), "eta": 0.0}, "made from seeds"),
    ],
)
def test_samples_that_do_not_fit_the_examples_are_refused(model, made, words):
    crowd = hsem.sample(model, **{"seeds": range(7), "steps": STEPS, "progress": False, **made})
    with pytest.raises(ValueError, match=words):
        supervised_direction(model, examples(model, (1, 2), (3, 4)), samples=crowd)


def test_swapping_the_examples_turns_the_direction_round(model):
    forth = supervised_direction(model, examples(model, (1, 2), (3, 4)), progress=False)
    back = supervised_direction(model, examples(model, (3, 4), (1, 2)), progress=False)
    torch.testing.assert_close(forth.delta_h, -back.delta_h)


def test_a_direction_from_the_classifier_moves_what_the_classifier_measures(model):
    """The whole of section V-b on a network of noise: brightness, selected, averaged, added."""
    scorer = from_function(lambda x: x.mean((1, 2, 3)), "brightness")
    table = annotate(model, scorer, range(48), steps=STEPS, batch_size=16, progress=False)
    direction = supervised_direction(model, extremes(table, "brightness", count=12), progress=False)
    assert direction.provenance["selection"]["count"] == 12
    assert direction.provenance["scorer"] == "<lambda>"

    def bottleneck(sign):  # on this network the bottleneck, not the picture, shows it reliably
        edit = add(direction, sign)
        run = hsem.sample(
            model, range(500, 516), steps=STEPS, edit=edit, record=("h", "delta_h"), progress=False
        )
        return ((run.h_seq + run.delta_h_seq) * direction.delta_h).sum((1, 2, 3, 4))

    assert (bottleneck(1.0) > bottleneck(0.0)).all() and (bottleneck(0.0) > bottleneck(-1.0)).all()


# ---------------------------------------------------------------------------------------- in x_T


def test_x_T_direction_is_the_mean_difference_of_the_noise(model):
    chosen = examples(model, (5, 9, 1), (2, 8, 30), eta=0.0)
    noise = [hsem.draw_noise(model, side, STEPS)[0] for side in (chosen.positive, chosen.negative)]
    torch.testing.assert_close(supervised_x_T(model, chosen), mean_difference(*noise))


def test_streaming_is_checked_for_model_recipe_and_names(model):
    chosen = examples(model, (1,), (2,))
    foreign = Examples(
        "smile", (1,), (2,), chosen.timesteps, chosen.eta, {"model": "m", "fingerprint": "f"}
    )
    for run in (supervised_direction, supervised_x_T):
        with pytest.raises(ValueError, match="other pictures"):
            run(model, foreign)
    with pytest.raises(ValueError, match="different timesteps or eta"):
        supervised_directions(model, [chosen, examples(model, (1,), (2,), "b", eta=0.0)])
    for wrong in ([], [chosen, chosen]):
        with pytest.raises(ValueError, match="different attributes"):
            supervised_directions(model, wrong)
    with pytest.raises(ValueError, match="batch_size"):
        supervised_direction(model, chosen, batch_size=0)


# ---------------------------------------------------- equation 12 with many conditions, combination


def random_directions(k: int, seed: int = 0) -> dict[str, Direction]:
    g = torch.Generator().manual_seed(seed)
    common = torch.randn(4, 3, 2, 2, generator=g, dtype=torch.float64)
    return {
        f"v{j}": Direction(
            common + torch.randn(4, 3, 2, 2, generator=g, dtype=torch.float64), (9, 6, 3, 0)
        )
        for j in range(k)
    }


@pytest.mark.parametrize("per_step", [False, True])
def test_many_conditions_at_once(per_step):
    directions = random_directions(8)
    clean = disentangle(directions, per_step=per_step)
    for name, direction in clean.items():
        others = [d for key, d in directions.items() if key != name]
        parts = [(direction.delta_h * o.delta_h).flatten(1).sum(1) for o in others]
        dots = torch.stack(parts if per_step else [p.sum() for p in parts])
        assert dots.abs().max() < 1e-12 * direction.norm() * 10
        again = project_out(direction, others, per_step=per_step)
        torch.testing.assert_close(again.delta_h, direction.delta_h)  # idempotent
        assert direction.norm() > 0.1
    plain = directions["v0"].cosine(directions["v1"])
    assert plain > 0.2  # control: they were entangled


def test_projection_is_the_closed_form_of_equation_12():
    directions = random_directions(5)
    v = torch.stack([d.delta_h.flatten() for d in directions.values()]).T
    others = v[:, 1:]
    closed = v[:, 0] - others @ torch.linalg.inv(others.T @ others) @ others.T @ v[:, 0]
    clean = disentangle(directions)["v0"].delta_h.flatten()
    torch.testing.assert_close(clean, closed)
    one_by_one = directions["v0"]
    for name in ("v1", "v2", "v3", "v4"):
        one_by_one = project_out(one_by_one, [directions[name]])
    assert (one_by_one.delta_h.flatten() - closed).norm() > 1e-2  # control: not the same thing


def test_joint_and_per_step_projection_differ():
    directions = random_directions(3)
    joint, each = disentangle(directions), disentangle(directions, per_step=True)
    assert each["v0"].norm() < joint["v0"].norm()  # more is removed
    assert abs(each["v0"].dot(directions["v1"])) < 1e-10  # and it is orthogonal jointly as well


def test_norms_are_kept_if_asked():
    directions = random_directions(3)
    clean, kept = disentangle(directions), disentangle(directions, keep_norm=True)
    for name, direction in directions.items():
        assert clean[name].norm() < direction.norm()
        assert kept[name].norm() == pytest.approx(direction.norm())
        assert kept[name].cosine(clean[name]) == pytest.approx(1.0)


def test_conditions_that_say_the_same_are_refused():
    directions = random_directions(3)
    twice = {**directions, "again": directions["v1"] * 2.0}
    with pytest.raises(ValueError, match="linearly dependent"):
        disentangle(twice)
    sums = {"a": directions["v0"], "b": directions["v0"] * -3.0}
    with pytest.raises(ValueError, match="nothing is left of 'a'"):
        disentangle(sums)


def test_sequential_edits_accumulate(model):
    grid = model.schedule(STEPS).timesteps
    g = torch.Generator().manual_seed(0)
    a, b, c = (Direction(torch.randn(STEPS, *model.h_shape, generator=g), grid) for _ in range(3))
    edits = accumulated(add(a), add(b, -2.0), add(c, 0.5))
    assert len(edits) == 3
    for edit, total in zip(edits, (a, a - b * 2.0, a - b * 2.0 + c * 0.5), strict=True):
        runs = [
            hsem.sample(model, [0, 1], steps=STEPS, edit=e, progress=False).images
            for e in (edit, add(total))
        ]
        torch.testing.assert_close(*runs, atol=1e-3, rtol=1e-4)
