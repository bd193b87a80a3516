"""What several blocks change together, in whatever order and thread they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import RLock
from typing import Any


class Shared:
    """A change to what blocks share: the first of them makes it, the last undoes it.

    They may end in another order than they began, or in other threads: if each restored what it
    found, the change could be undone too early, or stay. The lock may be taken twice by a thread:
    a dropped generator with a block in it is closed whenever Python collects it, here as well.

    Parameters
    ----------
    change : makes the context manager that changes, and restores, what its arguments name
    """

    def __init__(self, change: Callable[..., AbstractContextManager[Any]]) -> None:
        self.change, self.lock = change, RLock()
        self.blocks: dict[tuple[Any, ...], list[Any]] = {}  # by arguments: how many, what undoes it

    @contextmanager
    def __call__(self, *of: Any) -> Iterator[None]:
        with self.lock:
            here = self.blocks.setdefault(of, [0, ExitStack()])
            if not here[0]:
                here[1].enter_context(self.change(*of))
            here[0] += 1
        try:
            yield
        finally:
            with self.lock:
                here[0] -= 1
                if not here[0]:
                    self.blocks.pop(of)[1].close()
