"""The exception for what a user can mend, how several of them become one, and the one for being stopped."""

from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InputError(Exception):
    """Bad input: the message says what was expected, what was found, where, and what to do."""


class Stopped(Exception):  # noqa: N818 (it is no error)
    """Stopped from outside; the message says what was kept and how to go on."""


def attempt(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | InputError:
    """The result of `work`, or its InputError as a value."""
    try:
        return work(*args, **kwargs)
    except InputError as error:
        return error


def together(attempts: Iterable[T | InputError]) -> list[T]:
    """The results of several attempts; raises one InputError that lists every failure among them."""
    results: list[T] = []
    failures: list[InputError] = []
    for one in attempts:
        if isinstance(one, InputError):
            failures.append(one)
        else:
            results.append(one)
    if len(failures) > 1:
        raise InputError(f"{len(failures)} problems:\n" + "\n".join(f"- {failure}" for failure in failures))
    if failures:
        raise failures[0]
    return results


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that an allocation failed, on a GPU or on a CPU."""
    return any(words in str(error) for words in ("out of memory", "allocate memory"))
