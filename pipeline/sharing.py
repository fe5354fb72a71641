"""A list of work shared by the processes that Fabric started; no number of processes changes a result."""

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Protocol, TypeVar

import torch
from lightning_fabric import Fabric

from pipeline.errors import InputError, attempt, together

T = TypeVar("T")
R = TypeVar("R")


class Share(Protocol):
    """The results of `work` over all items, in their order; every process gets them all."""

    def __call__(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]: ...


def in_turn(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """In this process alone. Raises one InputError for all of its items."""
    return together(attempt(work, item) for item in items)


def among(fabric: Fabric) -> Share:
    """Every process works on each world-th item. Raises, in all processes, one InputError for all items, or what else one met."""

    def share(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        mine = [(at, _outcome(work, items[at])) for at in range(fabric.global_rank, len(items), fabric.world_size)]
        found: list[list[tuple[int, Any]]] = [[]] * fabric.world_size
        torch.distributed.all_gather_object(found, mine)
        values = [value for _, value in sorted(chain(*found), key=itemgetter(0))]
        for value in values:
            if isinstance(value, Exception) and not isinstance(value, InputError):
                raise value
        return together(values)

    return share if fabric.world_size > 1 else in_turn


def _outcome(work: Callable[[T], R], item: T) -> R | Exception:
    """The result, or whatever went wrong, as a value: a process that fell silent would keep the others waiting."""
    try:
        return work(item)
    except Exception as error:
        return error
