"""Two processes that share a model's parameters train what one process trains."""

from datetime import timedelta

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch.distributed.tensor import DTensor

from mmtad_decomp.engine.concise_runner import ConciseRunner
from mmtad_decomp.engine.hooks import OutputHealthHook, SafeCheckpointHook
from mmtad_decomp.engine.model_wrappers.fully_sharded_model import (
    RUNS_ON_CPUS,
    FullyShardedModel,
)
from mmtad_decomp.structures import TADDataSample, TimeGrid

pytestmark = pytest.mark.skipif(not RUNS_ON_CPUS, reason='this PyTorch shards on GPUs only')
WORLD, DATA = 2, [dict(inputs=torch.linspace(-1, 1, 5).add(i).sin()) for i in range(8)]


class Layer(torch.nn.Linear):
    """A unit of its own."""


class Network(BaseModel):
    """Layers whose rows cannot be dealt out evenly, and a buffer."""

    def __init__(self):
        super().__init__()
        self.backbone, self.head = Layer(5, 7), torch.nn.Linear(7, 1)
        self.register_buffer('scale', torch.tensor([2.0, 3.0]))
        self.backbone.weight.data = torch.rand(5, 7).t()  # not contiguous, as channels_last

    def init_weights(self):
        self.backbone.weight.data.add_(0.5)

    def forward(self, inputs, mode='tensor'):
        output = self.head(self.backbone(inputs).tanh()) * self.scale[0]
        return dict(loss=(output - 1).square().mean()) if mode == 'loss' else [output]


def train(folder, launcher, epochs, resume=None):
    """Train epochs of two updates on four samples each; returns runner, weights, output."""
    torch.manual_seed(0)
    runner = ConciseRunner(
        model=Network(),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=DATA,
            batch_size=2 if launcher == 'none' else 2 // WORLD,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=0.1),
            accumulative_counts=2,
            clip_grad=dict(max_norm=0.1),
        ),
        default_hooks=dict(checkpoint=dict(type=SafeCheckpointHook, interval=1), logger=None),
        custom_hooks=[OutputHealthHook(interval=1, stop=True)],
        launcher=launcher,
        cfg=dict(model_wrapper_cfg=dict(type='FullyShardedModel', units=['Layer'])),
        resume=resume is not None,
        load_from=None if resume is None else str(resume),
        experiment_name=folder.name,
        log_level='ERROR',
    )
    runner.train()
    model = runner.model if launcher == 'none' else runner.model.module
    output = runner.model.val_step(dict(inputs=DATA[0]['inputs']))[0].detach()
    return runner, dict(model.state_dict(), output=output)


def cut_a_window_of_one_process(rank):
    """A step of AFSD, whose second pass only the first process has a window for."""
    init_default_scope('mmaction')
    contrast = dict(type='BoundaryContrastiveLoss')
    head = dict(type='AFSDHead', num_classes=1, in_channels=32, loss_contrast=contrast)
    neck = dict(type='TemporalProjection', in_channels=4, out_channels=32)
    model = MODELS.build(dict(type='TADDetector', neck=neck, head=head))
    model = FullyShardedModel(model, ['TemporalProjection', 'RefinementBranch']).train()
    count = 1 - rank
    sample = TADDataSample(metainfo=dict(time_grid=TimeGrid(fps=1.0)))
    sample.gt_instances = InstanceData(
        segments=torch.tensor([[4.0, 20.0]])[:count], labels=torch.zeros(count).long()
    )
    losses = model(torch.randn(1, 4, 32), torch.ones(1, 32).bool(), [sample], mode='loss')
    assert (losses['loss_contrast'] > 0) == (rank == 0)
    sum(losses.values()).backward()


def share(rank, folder):
    """An epoch in two processes, and the second one after an epoch in one process."""
    torch.distributed.init_process_group(
        'gloo',
        f'file://{folder}/store',
        timedelta(seconds=120),
        rank=rank,
        world_size=WORLD,
    )
    runner, _ = train(folder / 'begun', 'pytorch', epochs=1)
    parameters = list(runner.model.parameters())
    assert all(isinstance(p, DTensor) for p in parameters)
    assert parameters[0].to_local().shape == ((4, 5), (3, 5))[rank]
    moments = runner.optim_wrapper.optimizer.state[parameters[0]]['exp_avg']
    assert moments.to_local().shape == parameters[0].to_local().shape
    _, state = train(folder / 'resumed', 'pytorch', 2, folder / 'through' / 'epoch_1.pth')
    torch.save(state, folder / f'{rank}.pt')
    cut_a_window_of_one_process(rank)
    torch.distributed.destroy_process_group()


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)


def test_two_processes_equal_one(tmp_path):
    _, through = train(tmp_path / 'through', 'none', epochs=2)
    torch.multiprocessing.start_processes(share, (tmp_path,), nprocs=WORLD, start_method='fork')
    begun = tmp_path / 'begun' / 'epoch_1.pth'
    saved, wanted = (
        torch.load(path, weights_only=True)
        for path in (begun, tmp_path / 'through' / 'epoch_1.pth')
    )
    assert_equal(saved['state_dict'], wanted['state_dict'])
    for number, moments in wanted['optimizer']['state'].items():
        assert_equal(saved['optimizer']['state'][number], moments)
    for rank in range(WORLD):
        assert_equal(torch.load(tmp_path / f'{rank}.pt', weights_only=True), through)
    _, resumed = train(tmp_path / 'alone', 'none', 2, begun)
    assert_equal(resumed, through)


def test_unknown_unit_is_refused():
    with pytest.raises(ValueError, match=r'units: the model has no Block; name some of .*Layer'):
        FullyShardedModel(Network(), units=['Block'])
