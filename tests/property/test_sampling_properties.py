"""What must hold for any network: edits that change nothing, samples that stand alone."""

from __future__ import annotations

import pytest
import torch

import hsem

STEPS = 6


@pytest.fixture(scope="module")
def plain(tiny: hsem.HSpaceUNet) -> hsem.Samples:
    return hsem.sample(
        tiny, seeds=range(4), steps=STEPS, record=("h", "x", "eps", "x0"), progress=False
    )


def again(model: hsem.HSpaceUNet, edit: hsem.Edit | None, **options: object) -> torch.Tensor:
    return hsem.sample(
        model, seeds=range(4), steps=STEPS, edit=edit, record=(), progress=False, **options
    ).images  # type: ignore[arg-type]


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def bump(model: hsem.HSpaceUNet, seed: int = 0, size: float = 0.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(STEPS, *model.h_shape, generator=generator)


def test_zero_edit_and_own_swap_change_nothing(tiny: hsem.HSpaceUNet, plain: hsem.Samples) -> None:
    assert plain.h_seq is not None
    assert same(again(tiny, hsem.add(0 * bump(tiny))), plain.images)
    assert same(again(tiny, hsem.swap(plain.h_seq)), plain.images)
    assert same(again(tiny, hsem.blend(plain.h_seq.roll(1, 0), 0.0)), plain.images)
    # controls: the same edits with something in them
    assert not same(again(tiny, hsem.add(bump(tiny))), plain.images)
    assert not same(again(tiny, hsem.swap(plain.h_seq.roll(1, 0))), plain.images)


def test_edits_compose(tiny: hsem.HSpaceUNet, plain: hsem.Samples) -> None:
    assert plain.h_seq is not None
    a, b = bump(tiny, 1), bump(tiny, 2)
    one_by_one = again(tiny, hsem.chain(hsem.add(a), hsem.add(b, 0.5)))
    assert same(one_by_one, again(tiny, hsem.add(a + 0.5 * b)))
    assert not same(one_by_one, again(tiny, hsem.add(a)))
    other = plain.h_seq.roll(1, 0)
    assert same(again(tiny, hsem.blend(other, 1.0)), again(tiny, hsem.swap(other)))
    assert same(again(tiny, hsem.blend(other, 1.0, "slerp")), again(tiny, hsem.swap(other)))


def test_windows_and_masks(tiny: hsem.HSpaceUNet, plain: hsem.Samples) -> None:
    v = bump(tiny)
    everywhere = again(tiny, hsem.add(v))
    assert same(again(tiny, hsem.only_at(hsem.add(v), range(STEPS))), everywhere)
    assert not same(again(tiny, hsem.only_at(hsem.add(v), [0])), everywhere)
    t = plain.schedule.timesteps
    assert same(
        again(tiny, hsem.between(hsem.add(v), t[1], t[2], plain.schedule)),
        again(tiny, hsem.only_at(hsem.add(v), [1, 2])),
    )
    ones = torch.ones(tiny.h_shape[1:])
    assert same(again(tiny, hsem.masked(hsem.add(v), 0 * ones)), plain.images)
    assert same(again(tiny, hsem.masked(hsem.add(v), ones)), everywhere)


def test_a_mask_keeps_h_outside_it(tiny: hsem.HSpaceUNet) -> None:
    h = torch.randn(2, *tiny.h_shape)
    mask = torch.zeros(tiny.h_shape[1:])
    mask[0, :2] = 1
    moved = hsem.masked(hsem.add(bump(tiny)), mask)(0, h) - h
    assert float(moved[..., mask == 0].abs().max()) == 0
    assert float(moved[..., mask == 1].abs().min()) > 0


def test_one_strength_per_sample(tiny: hsem.HSpaceUNet) -> None:
    v, strengths = bump(tiny), torch.tensor([0.0, 1.0, -1.0, 0.5])
    together = again(tiny, hsem.add(v, strengths), batch_size=3)
    for k, g in enumerate(strengths.tolist()):
        assert same(together[k], again(tiny, hsem.add(v, g))[k])


def test_asyrp(tiny: hsem.HSpaceUNet, plain: hsem.Samples) -> None:
    v = bump(tiny)
    assert same(again(tiny, hsem.add(0 * v), asyrp=True), plain.images)
    assert not same(again(tiny, hsem.add(v), asyrp=True), again(tiny, hsem.add(v)))


def test_asyrp_gives_the_edit_to_P_and_the_plain_noise_to_D(tiny: hsem.HSpaceUNet) -> None:
    """One step, written out (SM B)."""
    schedule, v = tiny.schedule(STEPS), bump(tiny)
    x, _ = hsem.draw_noise(tiny, seeds=[0], steps=1)
    t, _, a_prev = next(iter(schedule))
    with torch.no_grad():
        step = next(hsem.sample_steps(tiny, schedule, x, eta=0.0, edit=hsem.add(v), asyrp=True))
        h, context = tiny.encode(x, t)
        edited, plain = tiny.predict(h + v[0], context), tiny.predict(h, context)
    expected = a_prev**0.5 * edited.x0 + (1 - a_prev) ** 0.5 * plain.eps
    torch.testing.assert_close(step.x, expected, rtol=1e-4, atol=1e-4)


def test_samples_do_not_depend_on_their_batch(tiny: hsem.HSpaceUNet, plain: hsem.Samples) -> None:
    for size in (1, 3):
        assert same(again(tiny, None, batch_size=size), plain.images)
    alone = hsem.sample(tiny, seeds=[2], steps=STEPS, progress=False)
    assert torch.equal(alone.x_T[0], plain.x_T[2])  # noise to the last bit
    assert same(alone.images[0], plain.images[2])
    assert not same(alone.images[0], plain.images[1])


def test_neighbouring_seeds_share_no_noise() -> None:
    x_T, z = hsem.draw_noise((3, 16, 16), seeds=range(5), steps=4)
    rows = torch.cat([x_T[:, None], z], 1).flatten(0, 1).flatten(1)
    correlation = torch.corrcoef(rows) - torch.eye(len(rows))
    assert float(correlation.abs().max()) < 6 / rows.shape[1] ** 0.5
    again_x, _ = hsem.draw_noise((3, 16, 16), seeds=[3], steps=9)
    assert torch.equal(again_x[0], x_T[3])


def test_the_global_generator_is_left_alone(tiny: hsem.HSpaceUNet) -> None:
    before = torch.get_rng_state()
    hsem.sample(tiny, seeds=[1], steps=2, progress=False)
    hsem.tiny_unet(seed=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_records_agree_with_equation_2(tiny: hsem.HSpaceUNet, plain: hsem.Samples) -> None:
    assert plain.x_seq is not None and plain.eps_seq is not None and plain.x0_seq is not None
    x = torch.cat([plain.x_T[:, None], plain.x_seq], 1)
    for i, (_, a, _) in enumerate(plain.schedule):
        mixed = a**0.5 * plain.x0_seq[:, i] + (1 - a) ** 0.5 * plain.eps_seq[:, i]  # eq. 3
        assert same(mixed, x[:, i])
    assert torch.equal(plain.x_seq[:, -1], plain.images)
    assert plain.z is not None and torch.equal(plain.z, hsem.draw_noise(tiny, range(4), STEPS)[1])
