"""MMEngine's loops of validation and testing in the precision that the machine is fast in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import LOOPS
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop, Runner, TestLoop, ValLoop
from torch.utils.data import DataLoader

from mmtad_decomp.utils import choose_precision


class _Autocast(BaseLoop):
    """Mixed into a loop: ``dtype`` takes the place of its ``fp16``."""

    purpose: str

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        dtype: str = 'auto',
    ) -> None:
        super().__init__(runner, dataloader, evaluator)
        self.precision = choose_precision(dtype, torch.device(get_device()))
        self.precision.log(self.purpose)
        # Inside, MMEngine's loop takes over the type of the surrounding autocast.
        self.fp16 = self.precision.is_mixed

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Run one batch."""
        with self.precision.autocast():
            super().run_iter(idx, data_batch)


@LOOPS.register_module()
class AutocastValLoop(_Autocast, ValLoop):
    """MMEngine's ``ValLoop`` under autocast.

    Args:
        dtype: ``'auto'`` for the fastest type of the model's device (see
            :func:`~mmtad_decomp.utils.hardware.fast_dtype`), or ``'bfloat16'``, ``'float16'`` or
            ``'float32'``. The other arguments are MMEngine's.
    """

    purpose = 'validation'


@LOOPS.register_module()
class AutocastTestLoop(_Autocast, TestLoop):
    """MMEngine's ``TestLoop`` under autocast; ``dtype`` as for :class:`AutocastValLoop`."""

    purpose = 'testing'
