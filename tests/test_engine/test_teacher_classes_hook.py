"""TeacherClassesHook: which teachers are refused, and what the message says."""

from types import SimpleNamespace

import pytest
import torch

from mmtad_decomp.engine.hooks import TeacherClassesHook
from mmtad_decomp.models.distillers import FrozenTeacher


def runner(theirs, ours):
    model = torch.nn.Module()
    fits = SimpleNamespace(classes=ours, checkpoint='work_dirs/teacher/fits')
    model.teachers = [fits, SimpleNamespace(classes=theirs, checkpoint='work_dirs/teacher/x')]
    dataset = SimpleNamespace() if ours is None else SimpleNamespace(metainfo=dict(classes=ours))
    return SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))


@pytest.mark.parametrize(
    ('theirs', 'ours'), [(('a', 'b'), ['a', 'b']), (None, ('a',)), (('a',), None)]
)
def test_same_or_unknown_classes_pass(theirs, ours):
    TeacherClassesHook().before_train(runner(theirs, ours))


@pytest.mark.parametrize(
    ('theirs', 'message'),
    [
        (
            ('b', 'a'),
            "teacher/x and the data set have .* label 0 is 'b' and 'a'. .*teacher_checkpoint",
        ),
        (
            ('a', 'b', 'c'),
            r'teacher/x and the data set have 3 classes and 2\. Train',
        ),
    ],
)
def test_other_classes_or_another_order_are_refused(theirs, message):
    with pytest.raises(ValueError, match=message):
        TeacherClassesHook().before_train(runner(theirs, ('a', 'b')))


def test_a_teacher_reads_its_classes_and_videos_from_its_checkpoint(tmp_path):
    config = dict(
        type='TADDetector', head=dict(type='ActionFormerHead', num_classes=2, in_channels=8)
    )
    head = dict(encoder=dict(embed_dims=8, num_stem_layers=0), num_levels=1)
    config['head'].update(head)
    teacher = FrozenTeacher(config, str(tmp_path / 'teacher.pth'))
    state = teacher.detector.state_dict()
    torch.save(dict(state_dict=state), tmp_path / 'teacher.pth')
    teacher.load()
    assert teacher.classes is None and teacher.left_out is None
    meta = dict(dataset_meta=dict(classes=['a', 'b'], left_out=['v1']))
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'teacher.pth')
    teacher.load()
    assert teacher.classes == ('a', 'b') and teacher.left_out == {'v1'}
