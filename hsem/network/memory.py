"""How much memory a computation needs at once, and what to do where there is less."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..callers import tell
from ..counts import whole_number

T = TypeVar("T")


class Pieces:
    """Work on pieces of a batch, which are halved where the memory of a GPU runs out.

    What calls `sample` or `scores_of` again and again hands them one of these as their batch size:
    it remembers what did not fit.

    Parameters
    ----------
    size : entries of a piece, at most
    name : how the caller's argument is called, for the warning

    Attributes
    ----------
    size : the same, or what it has become

    Warns
    -----
    RuntimeWarning
        Once, when a piece did not fit.

    Examples
    --------
    >>> Pieces(2).run(5, lambda which: (which.start, which.stop))
    [(0, 2), (2, 4), (4, 5)]
    """

    def __init__(self, size: int, name: str = "batch_size") -> None:
        self.size, self.name, self._warned = whole_number(name, size), name, False

    @classmethod
    def of(cls, size: int | Pieces) -> Pieces:
        """One that is given as it is, or a new one of this size."""
        return size if isinstance(size, Pieces) else cls(size)

    @classmethod
    def drawing(
        cls, size: int | Pieces | None, device: torch.device, shape: tuple[int, int, int]
    ) -> Pieces:
        """The same for pictures (3, H, W); None takes as many as `usual_batch` says."""
        return cls.of(usual_batch(device, shape) if size is None else size)

    def run(self, n: int, task: Callable[[slice], T]) -> list[T]:
        """What `task` gives for slices that cover 0..n-1 in turn; it may be called twice for one.

        Raises
        ------
        torch.cuda.OutOfMemoryError
            Or what else the device says, if a single entry does not fit. All other errors are
            passed on at once.
        """
        results: list[T] = []
        start = 0
        while start < n:
            which = slice(start, min(start + self.size, n))
            tried = which.stop - start
            try:
                results.append(task(which))
            except RuntimeError as error:
                if tried == 1 or not _is_full(error):
                    raise
            else:
                start = which.stop
                continue
            # Only here the traceback is gone, which kept all tensors of the task alive.
            torch.cuda.empty_cache()
            self.size = tried // 2
            if not self._warned:
                self._warned = True
                tell(
                    f"the device has no memory for {self.name}={tried}; going on with {self.size} "
                    f"and less. The result is the same up to rounding; give {self.name} a smaller "
                    "value to save the attempts",
                    RuntimeWarning,
                )
        return results


def usual_batch(device: torch.device, shape: tuple[int, int, int]) -> int:
    """How many pictures (3, H, W) to draw at once: 16, and on a GPU more where they are small.

    A GPU is idle between the calls for 16 pictures of 64 x 64; it takes as many as have the pixels
    of 16 pictures of 256 x 256. A processor gains nothing from larger batches.
    """
    if device.type == "cpu":
        return 16
    return max(16, 16 * 256 * 256 // (shape[1] * shape[2]))


def _is_full(error: RuntimeError) -> bool:
    """Whether a device says that it has no memory left: its libraries have words of their own."""
    said = ("_ALLOC_FAILED", "MPS backend out of memory")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(x in str(error) for x in said)


def peak_bytes(task: Callable[[], Any]) -> int:
    """Largest number of bytes alive at once in tensors that `task` makes: equal on every machine.

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
        given = {x.untyped_storage()._cdata for x in _tensors((args, kwargs))}
        for x in _tensors(out):
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


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]
