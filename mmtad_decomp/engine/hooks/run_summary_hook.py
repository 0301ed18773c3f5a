"""The five lines that a run starts with."""

from __future__ import annotations

import os

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mmtad_decomp.utils import processor_name, unwrap_model


@HOOKS.register_module()
class RunSummaryHook(Hook):
    """Say at the start of a run what runs: config, data, model, device and work directory."""

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Log the five lines; the loops that the run needs are built by now."""
        loops = {name: getattr(runner, f'_{name}_loop') for name in ('train', 'val', 'test')}
        loops = {name: loop for name, loop in loops.items() if isinstance(loop, BaseLoop)}
        model = unwrap_model(runner.model)
        lines = dict(
            config=runner.cfg.filename or 'not from a file',
            data='; '.join(f'{name}: {_census(loop)}' for name, loop in loops.items()),
            model=_size(model),
            device=f'{_device(model)}; {_precisions(runner, loops)}',
        )
        lines['work directory'] = os.path.abspath(runner.work_dir)
        for name, text in lines.items():
            runner.logger.info(f'{name}: {text}')


def _census(loop: BaseLoop) -> str:
    """Census of a loop's data set, or its size where it counts nothing else."""
    dataset = loop.dataloader.dataset
    return getattr(dataset, 'census', None) or f'{len(dataset)} samples'


def _size(model: nn.Module) -> str:
    parameters = list(model.parameters())
    total = sum(p.numel() for p in parameters) / 1e6
    trained = sum(p.numel() for p in parameters if p.requires_grad) / 1e6
    return f'{type(model).__name__}, {total:.2f} M parameters, {trained:.2f} M of them trained'


def _device(model: nn.Module) -> str:
    device = next((p.device for p in model.parameters()), torch.device('cpu'))
    name = f'{torch.get_num_threads()} threads on {processor_name()}'
    if device.type == 'cuda':
        name = f'{torch.cuda.get_device_name(device)}, {name}'
    return f'{device}, {name}'


def _precisions(runner: Runner, loops: dict[str, BaseLoop]) -> str:
    """The type of each kind of forward pass of this run."""
    parts = {**loops, 'train': runner.optim_wrapper} if 'train' in loops else loops
    return ', '.join(f'{name} in {_precision(part)}' for name, part in parts.items())


def _precision(part: OptimWrapper | BaseLoop) -> str:
    """The type that an optimizer wrapper or a loop computes in."""
    if hasattr(part, 'precision'):
        return str(part.precision.dtype).removeprefix('torch.')
    if isinstance(part, AmpOptimWrapper) or getattr(part, 'fp16', False):
        return 'mixed precision'
    return 'float32'
