"""A resumed training draws what one that ran through drew."""

import json
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmtad_decomp.datasets import TADDataset
from mmtad_decomp.engine.hooks import EpochSeedHook


class DrawingTransform:
    """Draws from the generators that transforms use."""

    def __call__(self, results):
        draws = [random.random(), np.random.rand(), float(torch.rand(()))]
        return torch.tensor([*draws, results['window'][0]], dtype=torch.float64)


@pytest.fixture
def dataset(tmp_path):
    database = {
        f'v{i}': dict(
            subset='training',
            duration=8.0,
            fps=2,
            annotations=[dict(segment=[0.5, 7.5], label='a')],
        )
        for i in range(3)
    }
    (tmp_path / 'ann.json').write_text(json.dumps(dict(database=database)))
    for name in database:
        (tmp_path / f'{name}.mp4').touch()
    return TADDataset(
        'ann.json',
        data_root=str(tmp_path),
        sample_fps=2,
        window=8,
        overlap=0.5,
        min_visible=0.1,
        pipeline=[DrawingTransform()],
        template='{}.mp4',
    )


def loader_of(dataset, workers):
    return torch.utils.data.DataLoader(
        dataset, 2, num_workers=workers, collate_fn=torch.stack, persistent_workers=workers > 0
    )


def drawn(loader, *key):
    loader.dataset.seed_epoch(*key)
    return torch.cat(list(loader))


def test_samples_of_an_epoch_do_not_depend_on_workers_or_earlier_epochs(dataset):
    alone = loader_of(dataset, 0)
    first, second = drawn(alone, 5, 0), drawn(alone, 5, 1)
    assert not torch.equal(first, second) and not torch.equal(first, drawn(alone, 6, 0))
    assert len({row[0].item() for row in first}) == len(dataset)
    workers = loader_of(dataset, 2)  # persistent: they live on from epoch to epoch
    assert torch.equal(drawn(workers, 5, 0), first)
    assert torch.equal(drawn(workers, 5, 1), second)


def test_a_sample_leaves_the_generators_of_the_process_alone(dataset):
    dataset.seed_epoch(0, 0)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = [float(torch.rand(())), np.random.rand(), random.random()]
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    dataset[0]
    assert [float(torch.rand(())), np.random.rand(), random.random()] == expected


def runner_at(dataset, epoch, kind):
    runner = Runner.__new__(Runner)
    loop = kind.__new__(kind)
    loop.dataloader, loop._epoch = torch.utils.data.DataLoader(dataset), epoch
    runner._train_loop, runner._train_dataloader, runner._seed = loop, loop.dataloader, 3
    return runner


def test_the_hook_seeds_process_and_data_sets(dataset):
    both = ConcatDataset([dataset, dataset])
    draws, hook = [], EpochSeedHook()
    for epoch, step in ((0, 0), (1, 9), (0, 0), (1, 8)):
        runner = runner_at(both, epoch, EpochBasedTrainLoop)
        runner.train_loop._iter = step
        hook.before_train_epoch(runner)
        sample = both[0].tolist()
        hook.before_train_iter(runner, 0)
        draws.append((sample, float(torch.rand(())), np.random.rand(), random.random()))
    assert draws[0] == draws[2] and draws[1][0] == draws[3][0] != draws[0][0]
    assert len({row[1:] for row in draws}) == 3  # one for each step
    dataset.seed_epoch(-1, -1)
    before = dataset[0]
    hook.before_train_epoch(runner_at(dataset, 0, IterBasedTrainLoop))
    assert not torch.equal(dataset[0], before)  # nothing repeats where there are no epochs
