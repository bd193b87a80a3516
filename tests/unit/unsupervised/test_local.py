"""Directions of one image: on its own trajectory, and as large as they say."""

from functools import partial

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import hsem
from hsem.unsupervised.jacobian import jacobian_svd, largest_principal_angle
from hsem.unsupervised.local import (
    ImageDirections,
    _differentiable,
    image_directions,
    image_spectrum,
    trajectory,
)
from hsem.unsupervised.masks import rectangle, share_inside

STEPS = 5


@pytest.fixture(scope="module")
def tiny() -> hsem.HSpaceUNet:
    return hsem.tiny_unet(0).to(dtype=torch.float64)


@pytest.fixture(scope="module")
def samples(tiny) -> hsem.Samples:
    return hsem.sample(tiny, range(3), steps=STEPS, eta=1.0, progress=False)


@pytest.fixture(scope="module")
def found(tiny, samples) -> ImageDirections:
    return image_directions(tiny, samples, 1, step=2, k=2, tol=1e-5)


# ---------------------------------------------------------------------------------- trajectories


def test_the_trajectory_is_the_samples_own(tiny, samples):
    for point in trajectory(tiny, samples, 1, range(STEPS)):
        torch.testing.assert_close(point.h[0], samples.h_seq[1, point.i])
        assert point.t == samples.schedule.timesteps[point.i]
        assert torch.is_grad_enabled()


def test_with_fresh_noise_it_would_be_another_image(tiny, samples):
    """Negative control: the official code forgets the stored z, so only step 0 is right."""
    _, z = hsem.draw_noise(tiny, [77], STEPS)
    other = hsem.sample(
        tiny, x_T=samples.x_T[1:2], z=z.double(), steps=STEPS, eta=1.0, progress=False
    )
    distance = (other.h_seq[0] - samples.h_seq[1]).flatten(1).norm(dim=1)
    assert distance[0] < 1e-9 and bool(
        (distance[1:] > 0.05 * samples.h_seq[1, 1:].flatten(1).norm(dim=1)).all()
    )


@pytest.mark.parametrize("eta", [0.0, (1.0, 0.0, 0.5, 1.0, 0.0)])
@pytest.mark.parametrize("given", [False, True])
def test_trajectories_of_all_kinds_of_samples(tiny, eta, given):
    """Seeds or given noise, edits with one row per sample, any eta."""
    noise = {"seeds": [4, 5]}
    if given:
        x_T, z = hsem.draw_noise(tiny, [4, 5], STEPS)
        noise = {"x_T": x_T.double(), "z": z.double()}
    shift = torch.randn(STEPS, *tiny.h_shape, generator=torch.Generator().manual_seed(0)).double()
    edit = hsem.add(shift, torch.tensor([0.0, 2.0]))
    made = hsem.sample(
        tiny, **noise, steps=STEPS, eta=eta, edit=edit, record=("h", "delta_h"), progress=False
    )
    for point in trajectory(tiny, made, 1, [1, 4]):
        edited = made.h_seq[1, point.i] + made.delta_h_seq[1, point.i]
        torch.testing.assert_close(point.h[0], edited)
        torch.testing.assert_close(edited - made.h_seq[1, point.i], 2 * shift[point.i])


def test_another_model_is_noticed(samples):
    other = hsem.tiny_unet(1).to(dtype=torch.float64)
    with pytest.raises(ValueError, match=r"another h than sample 0.*another model"):
        image_directions(other, samples, step=0)


# ------------------------------------------------------------------------------------ directions


def test_they_are_the_singular_vectors_of_the_decoder_there(tiny, samples, found):
    (point,) = trajectory(tiny, samples, 1, [2])
    explicit = torch.autograd.functional.jacobian(
        lambda h: tiny.predict(h, point.context).x0, point.h
    ).reshape(-1, point.h.numel())
    _, s, vh = torch.linalg.svd(explicit, full_matrices=False)
    torch.testing.assert_close(found.s, s[:2], rtol=1e-6, atol=0)
    assert largest_principal_angle(found.v.flatten(1), vh[:2]) < 1e-4
    assert (found.i, found.t) == (2, samples.schedule.timesteps[2])
    assert found.converged and found.share is None


def test_the_predicted_image_changes_by_what_they_say(tiny, samples, found):
    (point,) = trajectory(tiny, samples, 1, [2])
    for v, s, change in zip(found.v, found.s, found.change, strict=True):
        step = 1e-4
        with torch.no_grad():
            there, back = (tiny.predict(point.h + e * v, point.context).x0 for e in (step, -step))
        slope = (there - back)[0] / (2 * step)
        torch.testing.assert_close(change, slope, rtol=1e-5, atol=1e-7)
        assert float(slope.norm()) == pytest.approx(float(s), rel=1e-6)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_targets_share_vectors_and_differ_in_size(prediction_type):
    model = hsem.tiny_unet(0, prediction_type).to(dtype=torch.float64)
    made = hsem.sample(model, [0], steps=STEPS, progress=False)
    x0, eps = (
        image_directions(model, made, step=1, target=target, tol=1e-6) for target in ("x0", "eps")
    )
    assert torch.equal(x0.v, eps.v)
    a = float(model.alpha_bar[x0.t])
    torch.testing.assert_close(x0.s, ((1 - a) / a) ** 0.5 * eps.s)
    (point,) = trajectory(model, made, 0, [1])
    direct = jacobian_svd(lambda h: model.decode(h, point.context), point.h, 3, tol=1e-6)
    torch.testing.assert_close(eps.s, direct.s, rtol=1e-6, atol=0)
    torch.testing.assert_close(eps.change, (direct.u * direct.s.view(-1, 1, 1, 1, 1))[:, 0],
                               rtol=0, atol=1e-5 * float(direct.s[0]))  # fmt: skip


def test_directions_have_norm_one_at_every_step(tiny, found):
    assert len(found.directions) == len(found) == 2
    for j, direction in enumerate(found.directions):
        torch.testing.assert_close(direction.step_norms(), torch.ones(STEPS, dtype=torch.float64))
        assert torch.equal(direction.delta_h[0], direction.delta_h[-1])
        assert direction.method == "jacobian"
        assert direction.provenance["component"] == j and direction.provenance["found_at_step"] == 2
        assert direction.provenance["seed"] == 1
        direction.check_model(tiny)
    assert torch.equal(found[-1].delta_h, found[1].delta_h)
    with pytest.raises(IndexError):
        found[2]


def test_directions_survive_a_file(found, tmp_path):
    found[0].save(tmp_path / "direction")
    loaded = hsem.Direction.load(tmp_path / "direction")
    assert torch.equal(loaded.delta_h, found[0].delta_h)
    assert loaded.provenance["found_at_t"] == found.t


def test_a_mask_and_its_share(tiny, samples):
    mask = rectangle(tiny, 0.2, 0.3, 0.6, 0.6)
    (point,) = trajectory(tiny, samples, 0, [3])
    masked = jacobian_svd(lambda h: tiny.output(h, point.context) * mask, point.h, 2, tol=1e-5)
    got = image_directions(tiny, samples, step=3, k=2, mask=mask, tol=1e-5)
    assert largest_principal_angle(got.v, masked.v[:, 0]) < 1e-4
    torch.testing.assert_close(got.share, share_inside(got.change, mask))
    torch.testing.assert_close(got.s, (got.change * mask).flatten(1).norm(dim=1))
    assert got[0].provenance["share_inside_mask"] == float(got.share[0])
    free = image_directions(tiny, samples, step=3, k=2)
    assert bool((got.share > share_inside(free.change, mask)).all())
    kept = image_directions(tiny, samples, step=3, k=2, mask=mask, outside="penalise")
    assert bool((kept.share > got.share).all()) and bool((kept.s < got.s * 1.01).all())


def test_spectrum_is_the_directions_of_every_step(tiny, samples):
    spectrum = image_spectrum(tiny, samples, 2, k=2, tol=1e-4, progress=False)
    assert [x.i for x in spectrum] == list(range(STEPS))
    for i in (0, 3):  # a warm start must not change the answer
        alone = image_directions(tiny, samples, 2, step=i, k=2, tol=1e-4)
        torch.testing.assert_close(spectrum[i].s, alone.s, rtol=1e-5, atol=0)
        assert largest_principal_angle(spectrum[i].v, alone.v) < 1e-3
    some = image_spectrum(tiny, samples, 2, steps=[3, 1], progress=False)
    assert [x.i for x in some] == [1, 3]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"index": 3, "step": 0}, IndexError, r"index must be 0\.\.2"),
        ({"step": STEPS}, IndexError, r"steps must be some of 0\.\.4"),
        ({"step": 0, "outside": "project"}, ValueError, "needs a mask"),
        ({"step": 0, "target": "image"}, ValueError, "'x0' or 'eps'"),
        ({"step": 0, "mask": torch.ones(8, 8)}, ValueError, r"\(H, W\) = \(16, 16\)"),
        ({"step": 0, "mask": torch.zeros(16, 16)}, ValueError, "empty"),
    ],
)
def test_errors(tiny, samples, settings, error, message):
    with pytest.raises(error, match=message):
        image_directions(tiny, samples, **settings)


@pytest.mark.parametrize("mask", [None, torch.eye(16).roll(3, 0)])
def test_a_network_with_gradient_checkpointing(mask) -> None:
    """A trainer's network, as it comes: the same directions, and the setting is left as it was."""
    model = hsem.tiny_unet(0)
    samples = hsem.sample(model, [0], steps=3, progress=False)
    expected = hsem.image_directions(model, samples, step=1, k=2, mask=mask)
    model.unet.enable_gradient_checkpointing()
    assert model.unet.is_gradient_checkpointing
    got = hsem.image_directions(model, samples, step=1, k=2, mask=mask)
    torch.testing.assert_close(got.v, expected.v)
    assert model.unet.is_gradient_checkpointing
    h, context = model.encode(samples.x_T, 500)
    with pytest.raises(ValueError, match="gradient checkpointing"):  # control: it does get in
        hsem.jacobian_svd(lambda x: model.decode(x, context), h, 1)
    old = partial(checkpoint, use_reentrant=True)  # what older trainers use
    model.unet.enable_gradient_checkpointing(old)
    with pytest.raises(ValueError, match="gradient checkpointing"):
        hsem.jacobian_svd(lambda x: model.decode(x, context), h, 1)


def test_blocks_of_threads_leave_the_network_as_it_was() -> None:
    """The one that begins first ends first."""
    unet = hsem.tiny_unet(0).unet
    unet.enable_gradient_checkpointing()
    first, second = _differentiable(unet), _differentiable(unet)
    first.__enter__()
    second.__enter__()
    assert not unet.is_gradient_checkpointing
    first.__exit__(None, None, None)
    assert not unet.is_gradient_checkpointing
    second.__exit__(None, None, None)
    assert unet.is_gradient_checkpointing


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_network_of_compiled_blocks(backend) -> None:
    """Compiled code gives up what a second derivative needs; here it runs as it is written."""
    torch._dynamo.reset()
    model = hsem.tiny_unet(0)
    samples = hsem.sample(model, [1], steps=2, progress=False)
    settings = {"step": 1, "k": 1, "tol": 0.05}
    expected = image_directions(model, samples, **settings)
    for block in model.unet.up_blocks:
        block.compile(backend=backend)
    found = image_directions(model, samples, **settings)
    assert float((found.v * expected.v).sum()) == pytest.approx(1, abs=1e-3)
    (point,) = trajectory(model, samples, 0, [1])
    with pytest.raises(RuntimeError):  # control
        jacobian_svd(lambda h: model.output(h, point.context), point.h, 1, tol=0.05)
    torch._dynamo.reset()
