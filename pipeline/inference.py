"""Enlarge pictures with a trained model."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline import images


@torch.inference_mode()
def enlarge(model: nn.Module, lr: NDArray[np.uint8], batch: int = 16) -> NDArray[np.uint8]:
    """uint8 (N, h, w, 3) -> uint8 (N, h*scale, w*scale, 3), clamped and rounded; the model must be in evaluation mode."""
    device = next(model.parameters()).device
    parts = [model(images.to_tensor(lr[start : start + batch]).to(device)) for start in range(0, len(lr), batch)]
    return np.concatenate([images.to_uint8(part) for part in parts])


def place(model: nn.Module, accelerator: str) -> nn.Module:
    """The model on the machine's accelerator; on the CPU where there is none, or where `accelerator` is "cpu"."""
    found = None if accelerator == "cpu" else torch.accelerator.current_accelerator(check_available=True)
    return model.to(found or torch.device("cpu"))
