"""Which factors go together in the data set: the table of DATA_CARD.md.

    python -m portraits.dataset.correlations --data DATA

Pearson's r over all training portraits. Left out are labels that restate another one (the channels
of a colour, the kind of a hat) and kinds without an order.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..renderer.factors import FACTORS, LABELS
from .files import read_labels
from .sampler import CORRELATIONS

RESTATED = {"glasses_shape", "hair_r", "hair_g", "hair_b", "bg_g", "bg_b"}
ANCESTRY_SHARES = {"african", "asian", "caucasian"}  # sum to one, hence go against each other


def strongest(table: np.ndarray, least: float) -> Iterator[tuple[str, str, float]]:
    """Pairs of factors and their correlation, strongest first, down to an absolute value."""
    names = [n for n in LABELS if n not in RESTATED and FACTORS[n].unit != "kind"]
    r = np.corrcoef(table[:, [LABELS.index(n) for n in names]].T)
    first, second = np.triu_indices(len(names), 1)
    for k in np.argsort(-abs(r[first, second])):
        a, b = names[first[k]], names[second[k]]
        if abs(r[first[k], second[k]]) < least:
            return
        if not {a, b} <= ANCESTRY_SHARES:
            yield a, b, float(r[first[k], second[k]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--least", type=float, default=0.15)
    args = parser.parse_args()
    table = read_labels(args.data)
    print(f"{len(table)} portraits\n\n| factors | r | built in |\n|:--|--:|:--|")
    for a, b, r in strongest(table, args.least):
        about = CORRELATIONS.get((a, b), CORRELATIONS.get((b, a), (0, "follows from others")))[1]
        print(f"| {a}, {b} | {r:+.2f} | {about} |")


if __name__ == "__main__":
    main()
