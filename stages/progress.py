"""How training and downloads show themselves: bars on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from pipeline.config import Train
from pipeline.download import Show

if TYPE_CHECKING:  # so that fetch, which shows its bars too, need not wait for torch
    from pipeline.training import Progress

LINE_EVERY = 15.0  # seconds between plain lines


def display(name: str, train: Train) -> "Callable[[Progress], None]":
    """A function that shows loss, validation PSNR, patches/s and time left of each step that it is told of."""
    bar = sys.stderr.isatty()
    every = 0.5 if bar else LINE_EVERY
    meter = tqdm(desc=name, unit="patch", smoothing=0.05, disable=not bar)
    began, first, shown = time.monotonic(), -1, float("-inf")

    def show(now: "Progress") -> None:
        nonlocal began, first, shown
        if first < 0:  # speed counts from the first step that this process made
            began, first = time.monotonic(), now.step
            meter.reset(total=now.steps * train.batch_size)
            meter.initial = meter.n = first * train.batch_size
        last = now.step == now.steps
        if time.monotonic() - shown < every and not last:
            return
        shown = time.monotonic()
        psnr = "" if now.psnr is None else f" psnr {now.psnr:.2f}"
        text = f"epoch {now.epoch}/{train.epochs} loss {float(now.loss):.5f}{psnr}"
        if bar:
            meter.set_postfix_str(text, refresh=False)
            meter.update(now.step * train.batch_size - meter.n)
            meter.refresh()
            if last:
                meter.close()
        else:
            rate = (now.step - first) / max(shown - began, 1e-9)
            left = f"{(now.steps - now.step) / rate:.0f} s left" if rate else "time left unknown"
            print(f"{name}: {text} {rate * train.batch_size:.0f} patches/s {left}", flush=True)

    return show


def tell(name: str) -> Callable[[str], None]:
    """A function that says something about a training in words."""
    return lambda text: print(f"{name}: {text}", file=sys.stderr, flush=True)


def downloads() -> Show:
    """A function that shows how far each of several downloads is: bars on a terminal, lines elsewhere."""
    bars: dict[str, tqdm[Any]] = {}
    shown: dict[str, float] = {}
    lock = threading.Lock()

    def show(name: str, done: int, total: int) -> None:
        with lock:
            if sys.stderr.isatty():
                if name not in bars:
                    bars[name] = tqdm(desc=name, total=total, initial=done, unit="B", unit_scale=True, position=len(bars))
                bars[name].update(done - bars[name].n)
            elif done == total or time.monotonic() - shown.get(name, float("-inf")) > LINE_EVERY:
                shown[name] = time.monotonic()
                print(f"{name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB", flush=True)

    return show
