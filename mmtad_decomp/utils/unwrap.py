"""From what a runner holds to the model itself."""

from __future__ import annotations

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap_model(model: nn.Module) -> nn.Module:
    """The model inside distributed wrappers and ``torch.compile``."""
    while is_model_wrapper(model) or hasattr(model, '_orig_mod'):
        model = getattr(model, '_orig_mod', None) or model.module
    return model
