"""The learning rate, a pure function of the step."""

import math

from pipeline.config import Train


def rate(train: Train, lr: float, step: int) -> float:
    """The rate of a step, counted from 0.

    "step" is the study's StepLR: lr * lr_gamma^(epoch // lr_step), epochs counted from 0. "cosine" falls from lr to 0 over all
    steps by half a cosine (Loshchilov and Hutter, SGDR, 2017, without restarts), "linear" by a straight line (Bergsma et al.,
    Straight to Zero, 2025). Each rises linearly over `warmup_steps`.
    """
    steps = train.patches_per_epoch // train.batch_size
    warm = min(1.0, (step + 1) / train.warmup_steps) if train.warmup_steps else 1.0
    part = step / (train.epochs * steps)
    if train.schedule == "cosine":
        return lr * warm * 0.5 * (1 + math.cos(math.pi * part))
    if train.schedule == "linear":
        return lr * warm * (1 - part)
    return lr * warm * train.lr_gamma ** (step // steps // train.lr_step)
