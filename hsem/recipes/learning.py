"""Results for Fig. 8a: how many examples a direction needs, in h and in x_T, at eta = 0.

Examples are the tenth with most and the tenth with least of the attribute, paired at random; half
of the pairs make the reference, and no draw takes all of the other half. Once more with as many
pairs out of other fractions of the same crowd: how the strength of selection changes the answer.
About 220,000 runs of the network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import hsem
from hsem.diffusion.sampling import draw_noise
from hsem.evaluation.curves import LATENTS
from hsem.evaluation.effects import FIRST_SEED

from . import command
from .parts import FLOAT, WHOLE, Parts, crowd
from .parts import drawn as pictures
from .reference import judges_of

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
FRACTIONS = (0.04, 0.1, 0.25, 0.5)  # of the crowd, on either side
STEPS, SEED = 20, 5
FACES, STRENGTH = 3, 1.5  # people in the picture, and how far they are moved
SMALL = {"n": 96, "pairs": 40, "draws": 3, "people": 6}


def parser() -> argparse.ArgumentParser:
    return command.parser(
        __doc__, n=(5000, "samples in the crowd"), pairs=(500, "of them, half held out"),
        draws=(20, "directions from each count"), people=(160, "new samples, shared by the draws"),
        attributes=(["smile", "yaw"], "what to find directions for"),
        steps=(STEPS, "of the sampler"),
    )  # fmt: skip


def counts_of(pairs: int) -> list[int]:
    """The counts that leave part of the half to draw from untouched; one at least."""
    return [n for n in COUNTS if n < max(pairs // 2, 2)]


def runs(args: argparse.Namespace) -> int:
    """How often the network runs."""
    counts = len(counts_of(args.pairs))
    each = args.people * (2 * counts + 3) + FACES * 2 * counts
    return int(args.steps * (args.n + FACES + len(args.attributes) * each))


def fill(args: argparse.Namespace, model: hsem.HSpaceUNet) -> Path:
    """The curves of the attributes."""
    judge, second = judges_of(model)  # the first chooses, the second measures
    parts = Parts(args.output, model, **vars(args))
    samples = crowd(parts, args.n, steps=args.steps, eta=0.0)
    table = hsem.score_samples(model, samples, judge)
    pool = max(4, int(min(FRACTIONS) * args.n))  # pairs out of each fraction
    fractions = [f for f in FRACTIONS if int(f * args.n) >= pool]
    new = range(FIRST_SEED, FIRST_SEED + args.people)
    tensors = {
        "counts": torch.tensor(counts_of(args.pairs), **WHOLE),
        "fractions": torch.tensor(fractions, **FLOAT),
        "selected_counts": torch.tensor(counts_of(pool), **WHOLE),
        "faces": faces_of(model, args.steps, {}),
    }

    def curve_of(name: str) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed(SEED)
        curve = hsem.learning_curve(
            model, hsem.extremes(table, name, count=args.pairs), counts_of(args.pairs),
            draws=args.draws, generator=draw, scorer=second, seeds=new, samples=samples,
        )  # fmt: skip
        assert curve.effect is not None and curve.reference_effect is not None
        out = {"faces": faces_of(model, args.steps, curve.directions)}
        for latent in LATENTS:
            out[f"cosine/{latent}"] = curve.cosine[latent]  # (draws, counts)
            out[f"shuffled/{latent}"] = curve.shuffled[latent]
            out[f"effect/{latent}"] = curve.effect[latent]
            out[f"reference/{latent}"] = torch.tensor([curve.reference_effect[latent]], **FLOAT)
        return out

    def selected(name: str) -> dict[str, Tensor]:
        draw = torch.Generator().manual_seed(SEED)
        curves = [
            hsem.learning_curve(
                model, hsem.extremes(table, name, quantile=f).draw(pool, draw), counts_of(pool),
                draws=args.draws, generator=draw, samples=samples,
            )
            for f in fractions
        ]  # fmt: skip
        return {
            f"selected/{latent}": torch.stack([curve.cosine[latent] for curve in curves])
            for latent in LATENTS  # (fractions, draws, counts)
        }

    for name in args.attributes:
        found = parts.tensors(f"curve/{name}", curve_of, name)
        found |= parts.tensors(f"selected/{name}", selected, name)
        tensors |= {f"{name}/{key}": value for key, value in found.items()}
    return parts.finish(
        "learning", args, tensors, attributes=args.attributes, steps=args.steps, eta=0.0,
        n=args.n, pairs=args.pairs, draws=args.draws, people=args.people, selected_pairs=pool,
        strength=STRENGTH, first_seed=FIRST_SEED, generator_seed=SEED,
        measured_by="the second judge",
    )  # fmt: skip


def faces_of(model: hsem.HSpaceUNet, steps: int, directions: dict[str, Tensor]) -> Tensor:
    """New people, (people, 3, H, W) in bytes; with directions (2 latents, counts, people, ...)."""
    seeds = range(FIRST_SEED, FIRST_SEED + FACES)
    x_T = draw_noise(model, seeds, 0)[0]

    def drawn(edit: hsem.Edit | None = None, start: Tensor = x_T) -> Tensor:
        made = pictures(model, seeds, x_T=start, steps=steps, eta=0.0, edit=edit)
        return ((made.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()

    if not directions:
        return drawn()
    in_h = [drawn(hsem.add(STRENGTH * v)) for v in directions["h"]]
    in_x_T = [drawn(start=x_T + STRENGTH * v) for v in directions["x_T"]]
    return torch.stack([torch.stack(in_h), torch.stack(in_x_T)])


if __name__ == "__main__":
    command.run(__name__)
