"""Cross-fitting: each of several teachers is asked about the videos that it left out."""

import copy
from types import SimpleNamespace

import pytest
import torch
from small_heads import HEADS, features, make, prefix_masks, without_chance
from tiny_detectors import (
    build,
    detector_config,
    distiller_config,
    losses_of,
    raw_batch,
    reaches,
)

from mmtad_decomp.models.distillers.cross_fitting import (
    choose_teacher,
    join_samples,
    take_samples,
)

TEACHER = detector_config(modality='TemporalGradientInput')
LENGTHS = (8, 6, 8, 5)


def write(path, left_out, seed=7):
    """The checkpoint of a teacher that left some videos out; None: it says nothing of them."""
    meta = {} if left_out is None else dict(left_out=left_out)
    state = build(TEACHER, seed=seed).state_dict()
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=meta)), path)
    return str(path)


def student(checkpoints, decomposed=True):
    """A distiller whose dropout is off, so that its losses depend on weights and inputs alone."""
    config = distiller_config(None, decomposed)
    config['teacher_checkpoint'] = checkpoints
    model = build(config)
    model.init_weights()
    for module in model.student.modules():
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0
    return model


def teachers(*left_out):
    return [
        SimpleNamespace(left_out=None if out is None else frozenset(out), checkpoint=f't{i}.pth')
        for i, out in enumerate(left_out)
    ]


@pytest.mark.parametrize('decomposed', [True, False])
def test_teachers_of_the_same_weights_are_one_teacher(tmp_path, decomposed):
    one = student(write(tmp_path / 'a.pth', None), decomposed)
    parts = (['video0', 'video3'], ['other', 'video1'], ['video2'])
    files = [write(tmp_path / f'{i}.pth', part) for i, part in enumerate(parts)]
    several = student(files, decomposed)
    assert [len(t.left_out) for t in several.teachers] == [2, 2, 1]
    expected, found = (losses_of(model, raw_batch(LENGTHS)) for model in (one, several))
    torch.testing.assert_close(found, expected)


def test_each_video_is_compared_with_the_teacher_that_left_it_out(tmp_path):
    """Swapping two teachers' parts is the same as swapping their weights."""
    first, second = ['video0', 'video2'], ['video1', 'video3']
    losses = {}
    for name, (part_of_7, part_of_8) in dict(a=(first, second), b=(second, first)).items():
        files = [
            write(tmp_path / f'{name}7.pth', part_of_7, 7),
            write(tmp_path / f'{name}8.pth', part_of_8, 8),
        ]
        model = student(files)
        assert not any('teacher' in key for key in model.state_dict())
        losses[name] = losses_of(model, raw_batch(LENGTHS))
    for name in ('feature', 'prediction'):
        assert not torch.isclose(losses['a'][f'loss_{name}'], losses['b'][f'loss_{name}'])

    # By hand: the features of both teachers, picked by video.
    batch = model.data_preprocessor(raw_batch(LENGTHS), training=True)
    asked, masks = batch['teacher_batch']['inputs'], batch['masks']
    detectors = [teacher.detector for teacher in model.teachers]
    seven, eight = (d.neck(d.backbone(asked, masks)[0], masks) for d in detectors)
    wanted = torch.stack([eight[0], seven[1], eight[2], seven[3]])  # (4, D, T'), parts of 'b'
    recorders = model._teacher_recorders['feature']
    with recorders[0].recording(), recorders[1].recording():
        rows = model._ask_teachers(batch['teacher_batch'])
        found = model._teacher_output('feature', rows)
    torch.testing.assert_close(found, wanted)


def test_gradients_reach_the_motion_branch_and_no_teacher(tmp_path):
    files = [write(tmp_path / f'{i}.pth', [f'video{i}'], seed=i) for i in range(2)]
    model = student(files).train()
    losses = losses_of(model, raw_batch())
    for name in ('loss_feature', 'loss_prediction'):
        assert torch.isfinite(losses[name])
        assert reaches(losses[name], model.student.neck.motion)
        assert not reaches(losses[name], model.student.neck.appearance)
    for teacher in model.teachers:
        assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    twin = copy.deepcopy(model).double()  # the copy shares the teachers
    assert all(one is other for one, other in zip(twin.teachers, model.teachers))
    assert {p.dtype for t in model.teachers for p in t.parameters()} == {torch.float32}
    model.double()
    assert {p.dtype for t in model.teachers for p in t.parameters()} == {torch.float64}
    kept = [r for each in model._teacher_recorders.values() for r in each]
    assert len(kept) == 4 and not any(r._outputs or r._module._forward_hooks for r in kept)


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('rows', [[[0, 2], [1]], [[1], [2], [0]], [[2, 0, 1]]])
def test_outputs_of_every_head_are_joined_by_sample(name, rows):
    """Sub-batches through a head, put together, are the whole batch through it."""
    head = without_chance(make(name))
    inputs, masks = features(3, 32), prefix_masks((32, 20, 32), 32)
    with torch.no_grad():
        expected = head(inputs, masks)
        parts = [head(inputs[places], masks[places]) for places in rows]
    found = join_samples(parts, rows)
    assert type(found) is type(expected)
    torch.testing.assert_close(flat(found), flat(expected), rtol=1e-4, atol=1e-4)


def flat(value):
    """Tensors and numbers of nested tuples, in order."""
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in flat(item)]
    return [value]


def test_dicts_and_values_without_samples():
    outputs = [dict(x=torch.tensor([[1.0]]), stride=2, none=None), dict(x=torch.zeros(2, 1))]
    outputs[1] |= dict(stride=2, none=None)
    found = join_samples(outputs, [[1], [2, 0]])
    assert found['x'].tolist() == [[0.0], [1.0], [0.0]]
    assert found['stride'] == 2 and found['none'] is None


@pytest.mark.parametrize('shape', [(), (5, 2)])
def test_outputs_without_samples_are_refused(shape):
    """Proposals of all videos in one axis, for instance: nothing says whose they are."""
    outputs = [torch.zeros(shape), torch.zeros(shape)]
    with pytest.raises(ValueError, match='not one entry for each of 2 samples along axis 0'):
        join_samples(outputs, [[0, 1], [2]])


def test_samples_are_taken_from_every_argument():
    inputs = torch.arange(6.0).reshape(3, 2)
    taken = take_samples(dict(inputs=inputs, masks=None, data_samples=['a', 'b', 'c']), [2, 0])
    assert taken['inputs'].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert taken['masks'] is None and taken['data_samples'] == ['c', 'a']


def test_the_first_teacher_that_left_a_video_out():
    several = teachers(['a'], ['a', 'b'])
    assert [choose_teacher(several, video) for video in 'ab'] == [0, 1]
    with pytest.raises(ValueError, match=r"trained on video 'c': \['t0\.pth', 't1\.pth'\]"):
        choose_teacher(several, 'c')
    with pytest.raises(ValueError, match=r't1\.pth does not say .* `train_dataloader\.dataset'):
        choose_teacher(teachers(['a'], None), 'b')


def test_an_empty_list_of_teachers_is_refused():
    with pytest.raises(ValueError, match='teacher_checkpoint is empty'):
        build(dict(distiller_config(None), teacher_checkpoint=[]))
