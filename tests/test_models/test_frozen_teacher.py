"""FrozenTeacher: stays frozen, and refuses checkpoints that do not fit."""

import pickle

import pytest
import torch
from mmengine.config import Config
from tiny_detectors import build, detector_config, distiller_config, write_teacher

from mmtad_decomp.models.distillers import FrozenTeacher
from mmtad_decomp.utils import CheckpointError


def teacher(checkpoint, **kwargs):
    config = detector_config(modality='TemporalGradientInput')
    build(config)  # sets the scope
    return FrozenTeacher(config, checkpoint if checkpoint is None else str(checkpoint), **kwargs)


def test_loads_the_trained_weights(tmp_path):
    path = write_teacher(tmp_path / 'teacher.pth')
    model = teacher(path)
    model.load()
    state = torch.load(path, weights_only=True)['state_dict']
    for key, value in model.detector.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.mark.parametrize('prefix', ['module.', '_orig_mod.', 'module._orig_mod.'])
def test_wrappers_of_training_are_stripped(tmp_path, prefix):
    path = write_teacher(tmp_path / 'teacher.pth')
    state = torch.load(path)['state_dict']
    torch.save(dict(state_dict={prefix + k: v for k, v in state.items()}), path)
    teacher(path).load()


def test_a_work_directory_means_its_last_checkpoint(tmp_path):
    path = write_teacher(tmp_path / 'epoch_3.pth')
    (tmp_path / 'last_checkpoint').write_text(str(path))
    teacher(tmp_path).load()


def test_stays_in_eval_mode_without_gradients():
    model = teacher(None)
    for _ in range(2):  # as it was built, and in the training of a distiller
        assert not any(module.training for module in model.modules())
        model.train()
    assert not any(p.requires_grad for p in model.parameters())


def test_no_checkpoint_named():
    with pytest.raises(FileNotFoundError, match=r'configs/teacher/.*model\.teacher_checkpoint'):
        teacher(None).load()


def test_checkpoint_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.*train the model'):
        teacher(tmp_path / 'nowhere').load()


@pytest.mark.parametrize(
    'config, problem',
    [
        (detector_config(width=32), r'another shape.*\(32.* in the file, \(16'),
        (detector_config(num_classes=7), r'another shape.*\(7.* in the file, \(3'),
        ({**detector_config(), 'neck': None, 'backbone': None}, 'is missing'),
    ],
)
def test_checkpoint_of_another_detector(tmp_path, config, problem):
    path = write_teacher(tmp_path / 'other.pth', config)
    with pytest.raises(ValueError, match=rf'other\.pth does not fit.*{problem}'):
        teacher(path).load()


def test_a_checkpoint_trained_with_another_input(tmp_path):
    """It fits: the weights of both have the same shapes."""
    path = write_teacher(tmp_path / 'other.pth', detector_config())
    content = torch.load(path)
    for kind in ('TemporalGradientInput', 'RGBInput'):
        config = Config(dict(model=detector_config(modality=kind)))
        torch.save(dict(content, meta=dict(cfg=config.pretty_text)), path)
        if kind == 'TemporalGradientInput':
            teacher(path).load()
    words = r'other\.pth was trained with RGBInput, .* asks for TemporalGradientInput: set'
    with pytest.raises(ValueError, match=words):
        teacher(path).load()


def test_checkpoint_of_a_student(tmp_path):
    path = write_teacher(tmp_path / 'student.pth', distiller_config(None))
    with pytest.raises(ValueError, match=r'student\.pth does not fit.*is missing'):
        teacher(path).load()


def test_checkpoint_with_more_than_the_detector(tmp_path):
    path = write_teacher(tmp_path / 'teacher.pth')
    content = torch.load(path)
    content['state_dict']['fusion.merge.weight'] = torch.zeros(1)
    torch.save(content, path)
    with pytest.raises(ValueError, match=r'holds 1 weights.*fusion\.merge\.weight.*another model'):
        teacher(path).load()


def test_a_pickle_that_runs_code_is_refused_unless_allowed(tmp_path):
    path = write_teacher(tmp_path / 'teacher.pth')
    content = dict(torch.load(path), meta=pickle.PickleError('harmless, but code'))
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r'teacher\.pth is refused'):
        teacher(path).load()
    teacher(path, allow_pickle=True).load()


@pytest.mark.parametrize('activation', ['relu', 'softplus'])
def test_offsets_of_a_checkpoint_without_activation_are_relus(tmp_path, activation):
    config = detector_config()
    config['head']['offset_activation'] = activation
    path = write_teacher(tmp_path / 'teacher.pth', config)
    content = torch.load(path)
    assert content['state_dict'].pop('head.reg_branch.activation') == (activation == 'softplus')
    torch.save(content, path)
    model = FrozenTeacher(config, str(path))
    if activation == 'relu':
        model.load()
    else:
        with pytest.raises(ValueError, match=r"teacher\.pth.*activation='relu', but.*'softplus'"):
            model.load()
