"""The mixin configs at a small size, and batches for them."""

from pathlib import Path

import numpy as np
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

import mmtad_decomp  # noqa: F401

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'mixin'
NAMES = ('bmn_activitynet', 'tem_activitynet', 'tcanet_hacs')
STEPS, CHANNELS, WIDTH = 8, 6, 16
SMALL = dict(
    BMN=dict(
        temporal_dim=STEPS, feat_dim=WIDTH, num_samples=4, hidden_dim_1d=8, hidden_dim_2d=8,
        hidden_dim_3d=8,
    ),
    TEM=dict(temporal_dim=STEPS, tem_feat_dim=WIDTH, tem_hidden_dim=8, conv3_ratio=1.0),
    TCANet=dict(temporal_dim=STEPS, feat_dim=WIDTH, se_sample_num=8, action_sample_num=16),
    TemporalProjection=dict(in_channels=CHANNELS, out_channels=WIDTH),
)  # fmt: skip


def shrink(node):
    """Reduce every localizer, neck and channel selection in a config, in place."""
    if isinstance(node, dict):
        node.update(SMALL.get(node.get('type'), {}))
        if node.get('channels'):
            half = node['channels'][0] > 0
            node['channels'] = (CHANNELS, 2 * CHANNELS) if half else (0, CHANNELS)
        for value in node.values():
            shrink(value)
    return node


def config(name):
    """A mixin config with a small model."""
    content = Config.fromfile(CONFIGS / f'{name}.py')
    shrink(content.model)
    return content


def build(model, seed=0):
    """Build a model with weights drawn from a seed."""
    torch.manual_seed(seed)
    return MODELS.build(model)


def batch(name, count=2, steps=STEPS, seed=0):
    """What a data loader gives: of TCANet one sequence per modality, of others both in one."""
    rng = torch.Generator().manual_seed(seed)

    def features(channels):
        return [torch.randn(channels, steps, generator=rng) for _ in range(count)]

    samples = []
    for index in range(count):
        meta = dict(
            video_name=f'v_{index}', duration_second=16.0, duration_frame=16 * steps,
            feature_frame=16 * steps, annotations=[dict(segment=[2.0, 8.0], label='a')],
        )  # fmt: skip
        sample = ActionDataSample(metainfo=meta)
        proposals = [[0.1, 0.5, 0.9], [0.3, 0.8, 0.5], [0.12, 0.45, 0.7]]
        gt = np.array([[0.125, 0.5]] * len(proposals))
        sample.gt_instances = InstanceData(gt_bbox=torch.from_numpy(gt))
        sample.proposals = InstanceData(proposals=torch.tensor(proposals))
        samples.append(sample)
    if name.startswith('tcanet'):
        inputs = dict(features=features(CHANNELS), motion_features=features(CHANNELS))
    else:
        inputs = features(2 * CHANNELS)
    return dict(inputs=inputs, data_samples=samples)


def write_teacher(path, name):
    """The checkpoint of a randomly initialised teacher."""
    torch.save(dict(state_dict=build(config(f'{name}_teacher').model, 7).state_dict()), path)
    return str(path)
