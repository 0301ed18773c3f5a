"""Every registered detection head, with the options of its small config."""

import copy

import torch
from config_helpers import CONFIGS, load
from mmaction.registry import MODELS
from mmengine.structures import InstanceData

from mmtad_decomp.models.heads import TemporalHead

WIDTH, NUM_CLASSES = 128, 3


def registered_heads():
    """Names of the package's heads."""
    return sorted(
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type)
        and issubclass(cls, TemporalHead)
        and cls.__module__.startswith('mmtad_decomp.')
    )


def _small_options():
    models = [load(path).model for path in (CONFIGS / '_base_/models').glob('*_tsm18_small.py')]
    return {model.head.type: model.head.to_dict() for model in models}


HEADS = registered_heads()
OPTIONS = _small_options()


def head_config(name, **options):
    """Config of a head that reads ``WIDTH`` channels."""
    return dict(copy.deepcopy(OPTIONS[name]), **{'num_classes': NUM_CLASSES, **options})


def make(name, seed=0, **options):
    """A head whose every weight matters: those that start at zero are drawn too."""
    torch.manual_seed(seed)
    head = MODELS.build(head_config(name, **options))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return head


def without_chance(head):
    """Switch off dropout and G-TAD's draws of pairs."""
    for module in head.eval().modules():
        if hasattr(module, 'draw'):
            module.draw = False
    return head


def features(batch, steps, seed=0):
    """``(batch, WIDTH, steps)`` noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, WIDTH, steps, generator=generator)


def prefix_masks(lengths, steps):
    """``(N, steps)`` bool with so many valid steps in each row."""
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def instances(*rows):
    """Ground truth from rows of start, end and label."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 3)
    return InstanceData(segments=table[:, :2], labels=table[:, 2].long())
