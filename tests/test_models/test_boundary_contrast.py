"""Boundary contrastive learning: where background goes, the loss, and where it is used."""

import math

import pytest
import torch
from boundary_reference import reference
from mmaction.registry import MODELS
from tiny_detectors import (
    AFSD_HEAD,
    afsd_detector,
    build,
    head_distiller,
    losses_of,
    mimics,
    raw_batch,
    reaches,
    write_teacher,
)

from mmtad_decomp.models.heads.afsd.background_insertion import Insertion, insert_background
from mmtad_decomp.models.layers import boundary_windows
from mmtad_decomp.models.losses import reduction

CONTRAST = dict(loss_contrast=dict(type='BoundaryContrastiveLoss'), contrast_background=0.1)


def contrast_detector():
    detector = afsd_detector()
    detector['head'].update(CONTRAST)
    return detector


def cuttable_batch():
    """A batch whose first window has an instance of 4 of its 8 steps."""
    batch = raw_batch()
    batch['data_samples'][0].gt_instances.segments = torch.tensor([[0.12, 0.52]])
    return batch


def segments_of(pairs):
    return torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2)


def touches(segment, step):
    """Whether step ``[step - 0.5, step + 0.5]`` and a segment share more than a point."""
    return min(segment[1], step + 0.5) > max(segment[0], step - 0.5)


@pytest.mark.parametrize('seed', range(40))
def test_insertion_moves_background_into_an_instance(seed):
    generator = torch.Generator().manual_seed(seed)
    length = int(torch.randint(12, 40, (), generator=generator))
    middles = torch.rand(2, generator=generator).double() * length
    widths = torch.rand(2, generator=generator).double() * 12 + 1
    segments = torch.stack((middles - widths, middles + widths), dim=1)
    width = int(torch.randint(1, 4, (), generator=generator))
    torch.manual_seed(seed)
    found = insert_background(length, segments, width)
    inside = segments.clamp(-0.5, length - 0.5).tolist()
    free = [t for t in range(length) if not any(touches(s, t) for s in inside)]
    runs = [t for t in free if all(t + i in free for i in range(width))]
    cuttable = [
        (s, e)
        for s, e in inside
        if any(s + width <= cut - 0.5 <= e - width for cut in range(length)) and e - s > 2 * width
    ]
    if not runs or not cuttable:
        assert found is None
        return
    order = found.order.tolist()
    assert sorted(order) == list(range(length))
    first, second, inserted = found.segments.tolist()
    start, stop = round(first[1] + 0.5), round(second[0] + 0.5)
    run = order[start:stop]
    assert run == list(range(run[0], run[0] + width)) and run[0] in runs
    rest = order[:start] + order[stop:]
    assert rest == [t for t in range(length) if t not in run]
    inset = {1: 0.0, 2: 0.5, 3: 1.0}[width]
    assert inserted == [first[1] + inset, second[0] - inset]
    lengths = [e - s for s, e in (first, second)]
    assert min(lengths) >= width - 1e-9
    moved = width if run[0] < rest[start - 1] else 0
    whole = (first[0] + moved, first[0] + moved + sum(lengths))
    assert any(math.dist(whole, pair) < 1e-9 for pair in cuttable)


def test_every_cut_and_run_is_drawn():
    segments = segments_of([(3.5, 9.5)])
    torch.manual_seed(0)
    drawn = [insert_background(12, segments, 2) for _ in range(300)]
    runs = {int(x.order[int(x.segments[0, 1] + 0.5)]) for x in drawn}
    assert runs == {0, 1, 2, 10}
    cuts = {
        x.segments[0, 1].item() + (2 if x.order[int(x.segments[0, 1] + 0.5)] < 4 else 0)
        for x in drawn
    }
    assert cuts == {5.5, 6.5, 7.5}


def test_pooled_steps_of_the_background_are_those_of_the_release():
    """AFSD marks frames [t + 1, t + th - 1] of th inserted from frame t on, here th = 10."""
    torch.manual_seed(0)
    cuts = set()
    for _ in range(30):
        found = insert_background(60, segments_of([(19.5, 44.5)]), 10)
        cut = int(found.segments[0, 1] + 0.5)
        cuts.add(cut)
        windows = boundary_windows(found.segments[2])
        assert windows.tolist() == [[cut, cut + 3], [cut + 7, cut + 10]]
    assert len({cut % 2 for cut in cuts}) == 2


def test_where_nothing_can_be_cut():
    assert insert_background(10, segments_of([]), 1) is None
    assert insert_background(10, segments_of([(1.5, 3.4)]), 1) is None
    assert insert_background(10, segments_of([(-4, 20)]), 1) is None
    assert insert_background(0, segments_of([(0, 3)]), 1) is None
    assert insert_background(10, segments_of([(1.5, 8.5)]), 3) is None
    assert insert_background(10, segments_of([(1.5, 5.5)]), 2) is None
    assert insert_background(10, segments_of([(1.5, 8.5)]), 2) is not None


@pytest.fixture
def replace_insertion(monkeypatch):
    """Replace the random insertion of the loss."""
    name = 'mmtad_decomp.models.heads.afsd.background_insertion.insert_background'
    return lambda function: monkeypatch.setattr(name, function)


def test_loss_against_loops(replace_insertion):
    parts = segments_of([(0.3, 2.2), (3.1, 5.0), (2.2, 3.1)])
    replace_insertion(lambda length, *_: Insertion(torch.arange(length - 1, -1, -1), parts))
    model = build(contrast_detector()).eval()
    batch = model.data_preprocessor(raw_batch((8, 6)))
    loss = model.extra_losses(**batch)['loss_contrast']
    inputs = batch['inputs'].clone()
    inputs[0, :8], inputs[1, :6] = inputs[0, :8].flip(0), inputs[1, :6].flip(0)
    outputs = model.detect(inputs, batch['masks'])
    segments = parts.expand(2, -1, -1).float()
    expected = 0.0
    for part, weight, stride in zip(outputs.boundaries, (1, 0.1, 0.1), (1, 2, 2)):
        pooled = reference(part.feats.detach(), segments / stride, part.masks)
        for anchor, positive, negative in zip(pooled[:, :, 0], pooled[:, :, 1], pooled[:, :, 2]):
            half = len(anchor) // 2
            near = math.dist(anchor[half:].tolist(), positive[:half].tolist())
            far = math.dist(anchor[half:].tolist(), negative[:half].tolist())
            expected += 0.1 * weight * max(near - far + 1, 0) / len(pooled)
    assert expected > 0
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('split', [1, 3, 4])
def test_processes_share_the_windows(monkeypatch, split):
    """The mean over two processes is the loss, and the gradient, of one with all windows."""
    loss = MODELS.build(dict(type='BoundaryContrastiveLoss'))
    generator = torch.Generator().manual_seed(0)
    kinds = [torch.randn(4, 6, 3, generator=generator, requires_grad=True) for _ in range(3)]
    expected = loss(kinds)
    wanted = torch.autograd.grad(expected, kinds)
    monkeypatch.setattr(reduction, 'get_world_size', lambda: 2)
    monkeypatch.setattr(reduction, 'all_reduce', lambda count: count.fill_(4))
    counted = split < 4
    second = [kind[split:] if counted else kind[:1] for kind in kinds]
    parts = [loss([kind[:split] for kind in kinds]), loss(second, counted=counted)]
    found = sum(parts) / 2
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, kinds), wanted)


def test_seconds_of_features_with_a_stride(replace_insertion):
    """A grid whose steps are 4 frames at 10 frames per second: 0.7 s are about 2 steps."""
    widths = []
    replace_insertion(lambda length, steps, width: widths.append(width))
    samples = raw_batch((8, 6))['data_samples']
    for sample in samples:
        sample.set_metainfo(dict(time_grid=sample.time_grid.coarsen(4)))
    model = build(
        dict(type='TADDetector', head=dict(AFSD_HEAD, **dict(CONTRAST, contrast_background=0.7)))
    )
    losses = model.extra_losses(torch.zeros(2, 16, 8), torch.ones(2, 8).bool(), samples)
    assert losses == dict(loss_contrast=0)
    assert widths == [2, 2]


def test_windows_that_cannot_be_cut_cost_nothing(monkeypatch):
    model = build(contrast_detector())
    batch = raw_batch((8, 6))
    for sample in batch['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    batch = model.data_preprocessor(batch)
    reached = []
    for samples in (raw_batch((8, 6))['data_samples'], batch['data_samples']):
        model.zero_grad()
        with monkeypatch.context() as patch:  # one of two processes: it runs as the other does
            name = 'mmtad_decomp.models.detectors.tad_detector.get_world_size'
            patch.setattr(name, lambda: 2)
            loss = model.extra_losses(**dict(batch, data_samples=samples))['loss_contrast']
        loss.backward()
        reached.append([key for key, p in model.named_parameters() if p.grad is not None])
    assert loss == 0 and reached[0] == reached[1] != []
    monkeypatch.setattr(model, 'detect', None)
    assert model.extra_losses(**batch) == dict(loss_contrast=0)


@pytest.mark.parametrize('decomposed', [False, True])
def test_in_detectors(decomposed):
    config = contrast_detector()
    if decomposed:
        fusion = dict(type='LocalAttentiveFusion')
        config = dict(type='DecomposedDetector', detector=config, fusion=fusion)
    model = build(config)
    losses = losses_of(model, cuttable_batch())
    names = {name for name in losses if 'contrast' in name}
    assert names == {'joint_loss_contrast' if decomposed else 'loss_contrast'}
    loss = losses[names.pop()]
    assert loss > 0 and reaches(loss, model.backbone) and reaches(loss, model.head)
    assert not decomposed or not reaches(loss, model.shared_head)
    model.eval()
    with torch.no_grad():
        assert len(model.val_step(raw_batch())[0].pred_instances)


@pytest.mark.parametrize('decomposed', [False, True])
def test_a_distiller_reads_the_windows_themselves(tmp_path, decomposed):
    teacher = write_teacher(
        tmp_path / 'teacher.pth', afsd_detector(modality='TemporalGradientInput')
    )
    losses = []
    for student in (afsd_detector(), contrast_detector()):
        config = head_distiller(student, teacher, decomposed, prediction='AFSDPredictionMimicLoss')
        config['distill']['mimics']['feature'] = mimics(decomposed)['feature']
        model = build(config)
        model.teacher.load()
        losses.append(losses_of(model, cuttable_batch()))
    plain, with_contrast = losses
    (added,) = set(with_contrast) - set(plain)
    assert added == ('joint_loss_contrast' if decomposed else 'loss_contrast')
    assert with_contrast[added] > 0
    for name, value in plain.items():
        torch.testing.assert_close(with_contrast[name], value)


def test_errors_name_the_option():
    with pytest.raises(ValueError, match='contrast_background'):
        build(dict(AFSD_HEAD, contrast_background=0))


def test_half_precision_and_seeds():
    model = build(contrast_detector())
    values = []
    for _ in range(2):
        torch.manual_seed(3)
        with torch.autocast('cpu', torch.bfloat16):
            values.append(losses_of(model.train(), cuttable_batch())['loss_contrast'])
    assert values[0].dtype == torch.float32 and values[0] == values[1] > 0
