"""record_h and edit_h in a stock StableDiffusionPipeline, against loops written out by hand."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

import hsem
from tests.pipelines import NOISE, sdxl_unet, stable_diffusion

pytest.importorskip("transformers", reason="the text encoder of Stable Diffusion")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers' use of numpy

STEPS, GUIDANCE = 5, 5.0
GRID = (801, 601, 401, 201, 1)
PROMPTS = ["a smile", "a frown"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> StableDiffusionPipeline:
    return stable_diffusion(tmp_path_factory.mktemp("tokenizer"))


def draw(
    pipeline: StableDiffusionPipeline,
    prompts: list[str] = PROMPTS,
    guidance: float = GUIDANCE,
    seeds: range | None = None,
) -> Tensor:
    """The latents that the pipeline ends with, (b, 4, 8, 8)."""
    seeds = range(len(prompts)) if seeds is None else seeds
    return pipeline(
        prompts,
        generator=[torch.Generator().manual_seed(s) for s in seeds],
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        output_type="latent",
    ).images


def push(steps: int = STEPS, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, 16, 4, 4, generator=generator, dtype=torch.float32)


@torch.no_grad()
def by_hand(
    pipeline: StableDiffusionPipeline, conditional: Tensor, unconditional: Tensor, scheduler: Any
) -> Tensor:
    """Guidance from two calls per step; each shift (T, C, h, w) is added to h of its own call."""
    scheduler.set_timesteps(STEPS)
    grid = sorted({float(t) for t in scheduler.timesteps}, reverse=True)
    noise = [torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    x = torch.stack(noise) * scheduler.init_noise_sigma
    prompts, nothing = pipeline.encode_prompt(PROMPTS, torch.device("cpu"), 1, True)
    shift: Tensor = torch.zeros(())
    middle = pipeline.unet.mid_block
    handle = middle.register_forward_hook(lambda _, __, h: h + shift)
    for t in scheduler.timesteps:
        eps = []
        for text, delta in ((nothing, unconditional), (prompts, conditional)):
            shift = delta[grid.index(float(t))]
            given = scheduler.scale_model_input(x, t)
            eps.append(pipeline.unet(given, t, encoder_hidden_states=text).sample)
        x = scheduler.step(eps[0] + GUIDANCE * (eps[1] - eps[0]), t, x).prev_sample
    handle.remove()
    return x


@pytest.mark.parametrize("kind", ["PNDM", "HeunDiscrete", "EulerDiscrete", "UniPCMultistep"])
@pytest.mark.parametrize("half", [None, "conditional", "unconditional"])
def test_edits_under_guidance(
    pipeline: StableDiffusionPipeline, kind: str, half: str | None
) -> None:
    plms = {"skip_prk_steps": True} if kind == "PNDM" else {}
    cls = getattr(diffusers, f"{kind}Scheduler")
    settings = {**NOISE, **plms, "steps_offset": 1}
    pipeline.scheduler = cls(**settings)
    pipeline.scheduler.set_timesteps(STEPS)
    delta, none = push(), torch.zeros(STEPS, 16, 4, 4)
    with hsem.edit_h(pipeline.unet, hsem.add(delta), pipeline.scheduler.timesteps, half=half):
        edited = draw(pipeline)
    expected = {
        chosen: by_hand(
            pipeline,
            none if chosen == "unconditional" else delta,
            none if chosen == "conditional" else delta,
            cls(**settings),
        )
        for chosen in (None, "conditional", "unconditional")
    }
    torch.testing.assert_close(edited, expected.pop(half), rtol=1e-3, atol=1e-3)
    for other in expected.values():  # control: the three are different things
        assert float((edited - other).abs().max()) > 0.05


@pytest.fixture
def pndm(pipeline: StableDiffusionPipeline) -> StableDiffusionPipeline:
    pipeline.scheduler = diffusers.PNDMScheduler(**NOISE, skip_prk_steps=True, steps_offset=1)
    return pipeline


def test_halves_are_recorded(pndm: StableDiffusionPipeline) -> None:
    records = {}
    for half in (None, "unconditional", "conditional"):
        with hsem.record_h(pndm.unet, half=half) as records[half]:
            draw(pndm)
    assert records[None].timesteps == [801, 601, 601, 401, 201, 1]
    assert records[None].grid == GRID
    both = records[None].h_seq
    assert both.shape == (4, STEPS, 16, 4, 4)
    assert torch.equal(both[:2], records["unconditional"].h_seq)
    assert torch.equal(both[2:], records["conditional"].h_seq)
    assert not torch.allclose(both[:2], both[2:])
    with torch.no_grad():  # the second half is that of the prompt
        x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        text, _ = pndm.encode_prompt(PROMPTS[:1], torch.device("cpu"), 1, True)
        with hsem.record_h(pndm.unet) as alone:
            pndm.unet(x, 801, encoder_hidden_states=text)
    torch.testing.assert_close(both[2:3, 0], alone.h[0], rtol=1e-4, atol=1e-4)


def test_one_strength_for_each_sample(pndm: StableDiffusionPipeline) -> None:
    """Rows of an edit are those of the half: b, not 2 b."""
    direction = hsem.Direction(push(), GRID)
    scales = torch.tensor([0.0, 1.0])
    plain = draw(pndm)
    with hsem.edit_h(pndm.unet, hsem.add(direction, scales), half="conditional"):
        edited = draw(pndm)
    torch.testing.assert_close(edited[0], plain[0], rtol=1e-4, atol=1e-4)
    assert float((edited[1] - plain[1]).abs().max()) > 0.05
    with hsem.edit_h(pndm.unet, hsem.add(direction), half="conditional"):
        with hsem.edit_h(pndm.unet, hsem.add(direction), half="unconditional"):
            twice = draw(pndm)  # each half in its own block is both at once
    with hsem.edit_h(pndm.unet, hsem.add(direction)):
        torch.testing.assert_close(draw(pndm), twice)


def test_a_half_of_what_is_not_doubled(pndm: StableDiffusionPipeline) -> None:
    for prompts in (PROMPTS, PROMPTS[:1]):
        with pytest.raises(ValueError, match="are not one batch twice"):
            with hsem.record_h(pndm.unet, half="conditional"):
                draw(pndm, prompts, guidance=1.0)
    with pytest.raises(ValueError, match="choose one of"):
        with hsem.record_h(pndm.unet, half="left"):
            draw(pndm)


def test_guidance_that_stops_half_way(pndm: StableDiffusionPipeline) -> None:
    pndm.unet.eval()
    with hsem.record_h(pndm.unet) as record, torch.no_grad():
        text = torch.zeros(2, 3, 8)
        pndm.unet(torch.zeros(2, 4, 8, 8), 801, encoder_hidden_states=text)
        pndm.unet(torch.zeros(1, 4, 8, 8), 601, encoder_hidden_states=text[:1])
    with pytest.raises(ValueError, match="h changed its shape during the run"):
        _ = record.h_seq


# ------------------------------------------------------------------------ directions of both kinds


def test_principal_directions(pndm: StableDiffusionPipeline) -> None:
    """record, learn, edit; the component against a full SVD of what was recorded."""
    seen = []
    pca = hsem.HSpacePCA(2)
    for start in range(0, 12, 4):
        with hsem.record_h(pndm.unet, half="conditional") as record:
            draw(pndm, ["a smile"] * 4, seeds=range(start, start + 4))
        seen.append(record.h_seq)
        pca.partial_fit(record.h_seq)
    h = torch.cat(seen).flatten(2).double()
    v = pca.direction(0, record.grid, aligned=False)
    for i in range(STEPS):
        centred = h[:, i] - h[:, i].mean(dim=0)
        _, s, axes = torch.linalg.svd(centred, full_matrices=False)
        delta = v.delta_h[i].flatten().double()
        assert abs(float(delta @ axes[0] / delta.norm())) > 0.99
        assert float(delta.norm()) == pytest.approx(float(s[0] / 11**0.5), rel=0.02)
    with hsem.record_h(pndm.unet, "conditional") as before:
        with hsem.edit_h(pndm.unet, hsem.add(v, 2.0), half="conditional"):
            with hsem.record_h(pndm.unet, "conditional") as after:
                edited = draw(pndm, ["a smile"], seeds=range(50, 51))
    moved = after.h_seq - before.h_seq
    torch.testing.assert_close(moved, 2 * v.delta_h[None], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(edited, draw(pndm, ["a smile"], seeds=range(50, 51)), atol=1e-3)


def test_a_direction_between_two_prompts(pndm: StableDiffusionPipeline) -> None:
    """Equation 11: the same seeds with one prompt and with the other."""
    sides = {}
    for prompt in PROMPTS:
        with hsem.record_h(pndm.unet, half="conditional") as record:
            draw(pndm, [prompt] * 6, seeds=range(6))
        sides[prompt] = record.h_seq
    delta = hsem.mean_difference(sides["a smile"], sides["a frown"])
    smile = hsem.Direction(delta, record.grid, "supervised")

    def distance(edit: Any, seeds: range) -> float:
        """From the h of a smile, at the first step, where x is the same."""
        with hsem.edit_h(pndm.unet, edit, half="conditional"):
            with hsem.record_h(pndm.unet, half="conditional") as frowning:
                draw(pndm, ["a frown"] * len(seeds), seeds=seeds)
        with hsem.record_h(pndm.unet, half="conditional") as smiling:
            draw(pndm, ["a smile"] * len(seeds), seeds=seeds)
        return float((frowning.h_seq[:, 0] - smiling.h_seq[:, 0]).mean(dim=0).norm())

    assert distance(hsem.add(smile), range(6)) < 1e-4 * float(delta[0].norm())
    new = range(20, 26)
    none, there, back = (distance(hsem.add(smile, s), new) for s in (0.0, 1.0, -1.0))
    assert there < 0.5 * none and back > 1.5 * none  # new noise, and the control


# ------------------------------------------------------------------------------------------- SDXL


def test_the_pipeline_of_sdxl(pipeline: StableDiffusionPipeline) -> None:
    """Sizes and pooled prompt go with every call; the hooks see x, t and h as before."""
    scheduler = diffusers.EulerDiscreteScheduler(
        **NOISE, timestep_spacing="leading", steps_offset=1
    )
    unet = sdxl_unet()
    sdxl = diffusers.StableDiffusionXLPipeline(
        pipeline.vae, None, None, None, None, unet, scheduler, add_watermarker=False
    )
    sdxl.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    text, nothing = torch.randn(2, 2, 3, 8, generator=generator, dtype=torch.float32)
    pooled, of_nothing = torch.randn(2, 2, 8, generator=generator, dtype=torch.float32)

    def run() -> Tensor:
        return sdxl(
            prompt_embeds=text,
            negative_prompt_embeds=nothing,
            pooled_prompt_embeds=pooled,
            negative_pooled_prompt_embeds=of_nothing,
            generator=[torch.Generator().manual_seed(s) for s in range(2)],
            num_inference_steps=STEPS,
            output_type="latent",
        ).images

    with hsem.record_h(unet, half="conditional") as record:
        plain = run()
    assert record.grid == GRID and record.h_seq.shape == (2, STEPS, 16, 4, 4)
    one = torch.tensor([0.0, 1.0])  # the second sample alone
    delta = push()
    with hsem.record_h(unet) as before:
        with hsem.edit_h(unet, hsem.add(hsem.Direction(delta, GRID), one), half="conditional"):
            with hsem.record_h(unet) as after:
                edited = run()
    torch.testing.assert_close(edited[0], plain[0], rtol=1e-4, atol=1e-4)
    assert float((edited[1] - plain[1]).abs().max()) > 0.05
    moved = after.h_seq - before.h_seq  # rows: unconditional 0 and 1, conditional 0 and 1
    assert not moved[:3].any()
    torch.testing.assert_close(moved[3], delta, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="record_h and edit_h do work on it"):
        hsem.load(unet)
