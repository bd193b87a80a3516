"""record_h and edit_h inside stock pipelines, against the explicit split."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    UNet2DConditionModel,
)

import hsem

STEPS = 5


@pytest.fixture
def model() -> hsem.HSpaceUNet:
    return hsem.tiny_unet(0)


@pytest.fixture
def pipeline(model: hsem.HSpaceUNet) -> DDIMPipeline:
    pipeline = DDIMPipeline(model.unet, DDIMScheduler(clip_sample=False))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run(pipeline: DDIMPipeline, seeds: range = range(2)) -> torch.Tensor:
    """What the stock pipeline draws, in [0, 1], (b, 3, H, W)."""
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    images = pipeline(
        batch_size=len(seeds), generator=generators, num_inference_steps=STEPS, output_type="np"
    ).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def shown(samples: hsem.Samples) -> torch.Tensor:
    return (samples.images / 2 + 0.5).clamp(0, 1)


def ours(model: hsem.HSpaceUNet, edit: hsem.Edit | None = None) -> hsem.Samples:
    return hsem.sample(model, range(2), steps=STEPS, eta=0.0, edit=edit, progress=False)


def push(model: hsem.HSpaceUNet) -> hsem.Direction:
    delta = torch.randn(STEPS, *model.h_shape, generator=torch.Generator().manual_seed(7))
    return hsem.Direction(delta, model.schedule(STEPS).timesteps)


def test_record_sees_the_h_of_the_split(model: hsem.HSpaceUNet, pipeline: DDIMPipeline) -> None:
    with hsem.record_h(pipeline.unet) as record:
        run(pipeline)
    expected = ours(model)
    assert tuple(record.timesteps) == expected.schedule.timesteps
    assert expected.h_seq is not None
    torch.testing.assert_close(record.h_seq, expected.h_seq, rtol=1e-4, atol=1e-4)


def test_edit_does_what_sample_does(model: hsem.HSpaceUNet, pipeline: DDIMPipeline) -> None:
    direction = push(model)
    with hsem.edit_h(pipeline.unet, hsem.add(direction)):
        edited = run(pipeline)
    torch.testing.assert_close(edited, shown(ours(model, hsem.add(direction))), atol=1e-3, rtol=0)
    plain = run(pipeline)  # the hook is off again
    torch.testing.assert_close(plain, shown(ours(model)), atol=1e-3, rtol=0)
    assert float((edited - plain).abs().max()) > 1e-2  # control: the edit was not idle


def test_ddpm_pipeline(model: hsem.HSpaceUNet) -> None:
    pipeline = DDPMPipeline(model.unet, DDPMScheduler(clip_sample=False))
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(s) for s in range(2)]
    with hsem.record_h(model) as record:
        pipeline(2, generator=generators, num_inference_steps=STEPS, output_type="np")
    assert tuple(record.timesteps) == model.schedule(STEPS).timesteps
    x_T, _ = hsem.draw_noise(model, range(2), 1)
    with torch.no_grad():
        h, _ = model.encode(x_T, record.timesteps[0])
    torch.testing.assert_close(record.h[0], h, rtol=1e-4, atol=1e-4)


def test_conditional_network() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8, in_channels=4, out_channels=4, layers_per_block=1,
            block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=8,
            attention_head_dim=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )  # fmt: skip
    x, text = torch.ones(2, 4, 8, 8), torch.ones(2, 3, 8)

    def call(t: int) -> torch.Tensor:
        with torch.no_grad():  # timestep by keyword, one per sample: both happen in the wild
            return unet(x, timestep=torch.tensor([t, t]), encoder_hidden_states=text).sample

    plain = call(900), call(100)
    with hsem.record_h(unet) as record, hsem.edit_h(unet, lambda i, h: h + (i == 1), (900, 100)):
        first, second = call(900), call(100)
    assert torch.equal(first, plain[0])  # step 0 was left alone
    assert not torch.equal(second, plain[1])
    assert record.timesteps == [900, 100]


def test_nesting_sees_before_and_after(model: hsem.HSpaceUNet, pipeline: DDIMPipeline) -> None:
    direction = push(model)
    with hsem.record_h(model) as outer, hsem.edit_h(model, hsem.add(direction)):
        with hsem.record_h(model) as inner:
            run(pipeline)
    moved = inner.h_seq - outer.h_seq
    torch.testing.assert_close(moved, direction.delta_h.expand_as(moved), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_hooks_come_off_whatever_happens(
    model: hsem.HSpaceUNet, error: type[BaseException]
) -> None:
    def hooks() -> int:
        unet = model.unet
        return len(unet._forward_pre_hooks) + len(unet.mid_block._forward_hooks)

    with pytest.raises(error), hsem.record_h(model), hsem.edit_h(model, hsem.add(push(model))):
        assert hooks() == 4
        raise error
    assert hooks() == 0


def test_complaints(model: hsem.HSpaceUNet, pipeline: DDIMPipeline) -> None:
    with pytest.raises(RuntimeError, match="h was never met"), hsem.record_h(model):
        pass
    with pytest.raises(RuntimeError, match="h was never met"):
        with hsem.edit_h(model, hsem.add(push(model))):
            pass
    with pytest.raises(ValueError, match="timesteps is needed"):
        with hsem.edit_h(model, lambda i, h: h):
            pass
    with pytest.raises(ValueError, match="called at timestep 800"):
        with hsem.edit_h(model, lambda i, h: h, timesteps=(999, 0)):
            run(pipeline)
    with pytest.raises(TypeError, match="without a mid_block"), hsem.record_h(torch.nn.ReLU()):
        pass
    with hsem.record_h(model) as record:
        run(pipeline)
        run(pipeline)
    with pytest.raises(ValueError, match="one run at a time"):
        _ = record.h_seq
