"""Training in the precision that the machine is fast in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmtad_decomp.utils import choose_precision


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(AmpOptimWrapper):
    """Autocast the forward pass; parameters, gradients and updates stay float32.

    MMEngine's ``AmpOptimWrapper`` for CPUs too, with a type chosen by the machine. Only float16
    needs loss scaling; otherwise the scaler is off.

    Args:
        dtype: ``'auto'`` for the fastest type of the device that the parameters are on (see
            :func:`~mmtad_decomp.utils.hardware.fast_dtype`), or ``'bfloat16'``, ``'float16'`` or
            ``'float32'``.
        loss_scale: Scale of the loss in float16: ``'dynamic'``, a fixed number, or arguments of
            ``torch.amp.GradScaler``.
        **kwargs: Arguments of ``OptimWrapper``.

    Attributes:
        precision: The decision.
    """

    def __init__(
        self, dtype: str = 'auto', loss_scale: str | float | dict = 'dynamic', **kwargs
    ) -> None:
        OptimWrapper.__init__(self, **kwargs)  # AmpOptimWrapper's own demands a GPU.
        device = self.param_groups[0]['params'][0].device
        self.precision = choose_precision(dtype, device)
        self.precision.log('training')
        scaling = loss_scale if isinstance(loss_scale, dict) else {}
        self._scale_update_param = None
        if isinstance(loss_scale, (int, float)):
            self._scale_update_param = float(loss_scale)
            scaling = dict(init_scale=self._scale_update_param)
        elif not scaling and loss_scale != 'dynamic':
            raise ValueError(f"loss_scale={loss_scale!r}: set 'dynamic', a number or a dict")
        enabled = self.precision.dtype is torch.float16
        self.loss_scaler = torch.amp.GradScaler(device.type, enabled=enabled, **scaling)

    def load_state_dict(self, state_dict: dict) -> None:
        """Load; the checkpoint may come from a machine with another precision."""
        if not state_dict.get('loss_scaler'):  # saved without loss scaling
            state_dict.pop('loss_scaler', None)
        super().load_state_dict(state_dict)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Gradient accumulation's context, with autocast."""
        with OptimWrapper.optim_context(self, model), self.precision.autocast():
            yield
