"""Results for Fig. 8a: how many examples a direction needs, in h and in x_T, at eta = 0.

About 26,000 runs of the network: five minutes on two cores, seconds on a GPU.
"""

from __future__ import annotations

import argparse
import shlex
import sys

import torch
from _parts import Parts, crowd

import hsem
from hsem import results
from hsem.evaluation.effects import FIRST_SEED

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
STEPS, SEED = 20, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="samples in the crowd")
    parser.add_argument("--pairs", type=int, default=400, help="of them, half held out")
    parser.add_argument("--draws", type=int, default=3, help="directions from each number of pairs")
    parser.add_argument("--people", type=int, default=6, help="new samples behind each effect")
    parser.add_argument("--attribute", default="smile", help="what to find a direction for")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the sampler")
    parser.add_argument("--output", default="learning", help="name or path of the file")
    args = parser.parse_args()

    model = hsem.load(dtype=hsem.fast_dtype())
    judge = hsem.classifier.load(device=model.device)  # chooses
    second = hsem.classifier.load(hsem.classifier.SECOND, model.device)  # measures
    parts = Parts(args.output, model, **vars(args))
    samples = crowd(parts, model, args.n, steps=args.steps, eta=0.0)
    table = hsem.score_samples(model, samples, judge)
    curve = hsem.learning_curve(
        model, hsem.extremes(table, args.attribute, count=args.pairs),
        [n for n in COUNTS if n <= args.pairs // 2],
        draws=args.draws, generator=torch.Generator().manual_seed(SEED), scorer=second,
        seeds=range(FIRST_SEED, FIRST_SEED + args.people), samples=samples,
    )  # fmt: skip
    assert curve.effect is not None and curve.reference_effect is not None
    tensors = {"counts": torch.tensor(curve.counts)}
    for latent in ("h", "x_T"):
        tensors[f"cosine/{latent}"] = curve.cosine[latent]  # (draws, counts)
        tensors[f"effect/{latent}"] = curve.effect[latent]
        tensors[f"reference/{latent}"] = torch.tensor([curve.reference_effect[latent]])
    path = results.save(
        args.output, model, tensors, attribute=args.attribute, steps=args.steps, eta=0.0, n=args.n,
        pairs=args.pairs, draws=args.draws, people=args.people, generator_seed=SEED,
        measured_by="the second judge",
        command=shlex.join(["python", *sys.argv]),
    )  # fmt: skip
    parts.clear()
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
