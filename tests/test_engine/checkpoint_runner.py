"""A tiny deterministic training run with every kind of state, for the checkpoint tests."""

import os
import signal
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.nn.functional import dropout

from mmtad_decomp.engine.hooks import EpochSeedHook
from mmtad_decomp.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook

DATA = [dict(inputs=torch.linspace(-1, 1, 8) * (i + 1)) for i in range(6)]


class TinyModel(BaseModel):
    """A layer, dropout, a buffer; ``ballast`` makes the file large enough to be killed midway."""

    def __init__(self, ballast=1):
        super().__init__()
        self.layer = torch.nn.Linear(8, 1)
        self.norm = torch.nn.BatchNorm1d(8)
        self.register_buffer('ballast', torch.arange(float(ballast)))

    def forward(self, inputs, mode='tensor'):
        output = self.layer(dropout(self.norm(inputs), 0.3, self.training))
        if mode == 'loss':
            return dict(loss=(output - 1).square().mean())
        return [output]


class RisingMetric(BaseMetric):
    """A NumPy score that changes from validation to validation."""

    default_prefix = 'tiny'
    calls = 0

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        type(self).calls += 1
        return dict(acc=np.float64(self.calls))


def build(
    work_dir,
    epochs,
    resume=False,
    ballast=1,
    extra_hooks=(),
    ema=True,
    workers=0,
    runner=Runner,
    load_from=None,
    train_cfg=None,
    **checkpoint,
):
    """A Runner that trains ``epochs`` epochs of three iterations each, or by ``train_cfg``."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    RisingMetric.calls = 0
    loader = dict(
        dataset=DATA,
        collate_fn=dict(type='default_collate'),
        batch_size=2,
        num_workers=workers,
        persistent_workers=workers > 0,
        sampler=dict(type=DefaultSampler, shuffle=False),
    )
    hooks = [dict(type='EMAHook', momentum=0.1, update_buffers=True)] if ema else []
    return runner(
        model=TinyModel(ballast),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=loader,
        train_cfg=train_cfg or dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        val_cfg=dict(),
        val_evaluator=[RisingMetric()],
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, begin=0, end=4, by_epoch=False),
            dict(type='MultiStepLR', milestones=[2, 3], by_epoch=True),
        ],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(type=SafeCheckpointHook, interval=1, **checkpoint),
        ),
        custom_hooks=[*hooks, dict(type=EpochSeedHook), *extra_hooks],
        randomness=dict(seed=0),
        resume=resume,
        load_from=load_from,
        log_level='ERROR',
        experiment_name=f'{Path(work_dir).name}-{os.urandom(4).hex()}',
    )


def final_state(runner):
    """Everything that a resumed run must share with one that was never interrupted."""
    ema = [h for h in runner.hooks if type(h).__name__ == 'EMAHook']
    hub = runner.message_hub
    return dict(
        model=runner.model.state_dict(),
        ema=ema[0].ema_model.state_dict() if ema else {},
        optimizer=runner.optim_wrapper.state_dict(),
        schedulers=[s.state_dict() for s in runner.param_schedulers],
        losses=torch.from_numpy(hub.get_scalar('train/loss').data[0]),
        progress=(runner.epoch, runner.iter),
    )


def train_and_die(work_dir, kill_at, ballast):
    """Train four epochs, killing this process before its ``kill_at``-th step on the disk."""
    count = 0

    def counted(function):
        def wrapper(*args, **kwargs):
            nonlocal count
            if '_checkpoint' in str(args) or '.pth' in str(args):
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapper

    os.replace, os.remove = counted(os.replace), counted(os.remove)
    train(work_dir, ballast)


def train(work_dir, ballast):
    """Train four epochs, going on from where an earlier run ended."""
    runner = build(
        work_dir,
        epochs=4,
        resume=True,
        ballast=ballast,
        max_keep_ckpts=1,
        save_best='tiny/acc',
    )
    runner.train()
    torch.save(final_state(runner), f'{work_dir}/final.pt')
