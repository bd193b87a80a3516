"""How much memory a computation needs at once, counted in tensors: the same on every machine."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(task: Callable[[], Any]) -> int:
    """Largest number of bytes alive at once in tensors that `task` makes.

    Counts what torch operations return, gradients included, from when they return it until it is
    freed. Scratch space within one operation, and what existed before, is not counted.

    Examples
    --------
    >>> import torch
    >>> peak_bytes(lambda: torch.zeros(1000).add(1).sum())
    8000
    """
    with _Counter() as counter:
        task()
    return counter.peak


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if _is(x)}
        for x in tree_leaves(out):
            if not _is(x):
                continue
            storage = x.untyped_storage()
            key = storage._cdata
            if key not in self.alive and key not in given:  # a view makes nothing new
                self.alive[key] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._freed, key)
        self.peak = max(self.peak, self.now)
        return out

    def _freed(self, key: int) -> None:
        self.now -= self.alive.pop(key)


def _is(x: Any) -> bool:
    return isinstance(x, Tensor)
