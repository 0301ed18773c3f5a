"""AutocastValLoop and AutocastTestLoop: MMEngine's loops in the chosen precision."""

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import FlexibleRunner, Runner
from torch.utils.data import DataLoader

from mmtad_decomp.utils import ConfigError, explain_build_error, hardware


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, inputs, mode='tensor'):
        return [dict(dtype=self.layer(torch.stack(inputs)).dtype)]


class Dtypes(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [sample['dtype'] for sample in data_samples]

    def compute_metrics(self, results):
        return dict(dtypes=results)


def runner_of(kind, folder, **settings):
    loader = DataLoader([torch.ones(4)] * 3, collate_fn=lambda items: dict(inputs=items))
    parts = {f'{kind}_dataloader': loader, f'{kind}_evaluator': [Dtypes()]}
    parts[f'{kind}_cfg'] = dict(type=f'Autocast{kind.title()}Loop', **settings)
    name = f'{folder.name}'
    return Runner(Model(), str(folder), **parts, experiment_name=name, default_scope='mmaction')


def dtypes_of(kind, folder, **settings):
    runner = runner_of(kind, folder, **settings)
    metrics = runner.val() if kind == 'val' else runner.test()
    assert not torch.is_autocast_enabled('cpu')
    return metrics['dtypes']


@pytest.mark.parametrize('kind', ['val', 'test'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_auto_follows_the_machine(kind, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, 'fast_dtype', lambda device: (dtype, 'of the test'))
    assert dtypes_of(kind, tmp_path) == [dtype] * 3


@pytest.mark.parametrize('kind', ['val', 'test'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_a_config_wins(kind, dtype, tmp_path, monkeypatch):
    other = torch.float32 if dtype is torch.bfloat16 else torch.bfloat16
    monkeypatch.setattr(hardware, 'fast_dtype', lambda device: (other, 'of the test'))
    name = str(dtype).removeprefix('torch.')
    assert dtypes_of(kind, tmp_path, dtype=name) == [dtype] * 3


def test_fp16_is_refused(tmp_path):
    runner = runner_of('val', tmp_path, fp16=True)
    with pytest.raises(TypeError, match='fp16') as caught:
        runner.val()
    assert isinstance(explain_build_error(runner.cfg, caught.value), ConfigError)


@pytest.mark.parametrize('kind', ['val', 'test'])
def test_flexible_runner_builds_the_loops_before_the_model(kind, tmp_path):
    loader = DataLoader([torch.ones(4)] * 3, collate_fn=lambda items: dict(inputs=items))
    parts = {f'{kind}_dataloader': loader, f'{kind}_evaluator': [Dtypes()]}
    parts[f'{kind}_cfg'] = dict(type=f'Autocast{kind.title()}Loop', dtype='bfloat16')
    runner = FlexibleRunner(
        dict(type=Model),
        work_dir=str(tmp_path),
        experiment_name=tmp_path.name,
        default_scope='mmaction',
        **parts,
    )
    metrics = runner.val() if kind == 'val' else runner.test()
    assert metrics['dtypes'] == [torch.bfloat16] * 3
