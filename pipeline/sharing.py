"""A list of work shared by the processes that Fabric started; no number of processes changes a result."""

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Protocol, TypeVar

import torch
from lightning_fabric import Fabric

from pipeline.errors import attempt, together

T = TypeVar("T")
R = TypeVar("R")


class Share(Protocol):
    """The results of `work` over all items, in their order; every process gets them all."""

    def __call__(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]: ...


def in_turn(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """In this process alone. Raises one InputError for all of its items."""
    return together(attempt(work, item) for item in items)


def among(fabric: Fabric) -> Share:
    """Every process works on each world-th item. Raises one InputError, in all processes, for the items of all."""

    def share(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        mine = [(at, attempt(work, items[at])) for at in range(fabric.global_rank, len(items), fabric.world_size)]
        found: list[list[tuple[int, Any]]] = [[]] * fabric.world_size
        torch.distributed.all_gather_object(found, mine)
        return together(value for _, value in sorted(chain(*found), key=itemgetter(0)))

    return share if fabric.world_size > 1 else in_turn
