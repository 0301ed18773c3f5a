"""ModelFitHook: heads that do not fit the data, and instances without a target."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import BaseLoop

from mmtad_decomp.engine.hooks import ModelFitHook, model_fit_hook
from mmtad_decomp.evaluation.metrics import ProposalMetric, TADMetric
from mmtad_decomp.models.data_preprocessors import trained_input
from mmtad_decomp.models.task_modules import CenterSamplingAssigner, PointGenerator, Points
from mmtad_decomp.postprocessing import ExternalClassifier, PostProcessor
from mmtad_decomp.structures import TimeGrid


class Windows:
    """A data set of one video of 20 s with features every 0.16 s."""

    def __init__(self, segments, classes=('a', 'b', 'c')):
        self.metainfo = dict(classes=list(classes))
        self.segments = np.array(segments, dtype=np.float64).reshape(-1, 2)

    def __len__(self):
        return 1

    def get_data_info(self, index):
        return dict(
            video_id='v',
            duration=20.0,
            window=(0, None),
            time_grid=TimeGrid(25, 4, 8),
            segments=self.segments,
            instance_ids=np.arange(len(self.segments)),
        )


def detector(num_classes):
    encoder = dict(embed_dims=8, num_stem_layers=0)
    head = dict(num_classes=num_classes, in_channels=8, num_levels=2, encoder=encoder)
    return MODELS.build(dict(type='TADDetector', head=dict(type='ActionFormerHead', **head)))


def runner(model, dataset, *metrics):
    loader = SimpleNamespace(dataset=dataset)
    loop = SimpleNamespace(evaluator=SimpleNamespace(metrics=metrics))
    names = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    return SimpleNamespace(
        model=model, val_loop=loop, test_loop=loop, **dict.fromkeys(names, loader)
    )


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(model_fit_hook, 'print_log', lambda text, **_: lines.append(text))
    return lines


@pytest.mark.parametrize('entry', ['before_train', 'before_val', 'before_test'])
@pytest.mark.parametrize('num_classes', [2, 5])
def test_another_number_of_classes_is_refused(entry, num_classes):
    message = rf'model\.head\.num_classes is {num_classes}, .* has 3 classes: a, b, c; set it to 3'
    with pytest.raises(ValueError, match=message):
        getattr(ModelFitHook(), entry)(runner(detector(num_classes), Windows([])))


def test_a_teacher_is_left_to_its_own_hook(logged):
    model = detector(3)
    model.teacher = detector(7)
    ModelFitHook().before_test(runner(model, Windows([])))
    assert not logged


def metric(kind, classifier=None):
    processor = PostProcessor(classifier=classifier)
    found = kind.__new__(kind)
    found.merger = SimpleNamespace(post_processor=processor)
    found.annotations = SimpleNamespace(classes=('a', 'b', 'c'))
    return found


@pytest.mark.parametrize('classifier', [None, ExternalClassifier('scores.json', mode='rescore')])
def test_an_agnostic_head_needs_a_classifier_that_names(logged, classifier):
    model, dataset = detector(1), Windows([])
    message = 'no classifier names its candidates: all would be called "a"'
    unnamed = metric(TADMetric, classifier)
    with pytest.raises(ValueError, match=message):
        ModelFitHook().before_test(runner(model, dataset, unnamed))
    ModelFitHook().before_val(runner(model, dataset, unnamed))
    assert len(logged) == 1 and message in logged[0]
    fine = metric(TADMetric, ExternalClassifier('scores.json')), metric(ProposalMetric)
    ModelFitHook().before_test(runner(model, dataset, *fine))
    ModelFitHook().before_test(runner(detector(3), dataset, unnamed))


@pytest.mark.parametrize('kind', [TADMetric, ProposalMetric])
@pytest.mark.parametrize('label', ['a', 'x'])
def test_validation_without_instances_is_refused_before_training(kind, label, tmp_path):
    item = dict(segment=[2, 4], label=label)
    video = dict(subset='val', duration=20.0, annotations=[item])
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps(dict(classes=['a', 'b', 'c'], database=dict(v=video))))
    found = kind(str(path), subset='val', ignore_labels=['x'])
    run = runner(detector(3), Windows([(2.0, 4.0)]), found)
    if label == 'a':
        return ModelFitHook().before_train(run)
    message = (
        r"annotations\.json: subset 'val' has no instance of the classes \['a', 'b', 'c'\] .*"
        '`subset`.* of `val_evaluator`, or train with --no-validate'
    )
    with pytest.raises(ValueError, match=message):
        ModelFitHook().before_train(run)


def test_instances_without_a_target_are_counted(logged):
    """Steps lie every 0.16 s: 5.01 to 5.06 s and 8 to 8.02 s hold none, the other one does."""
    dataset = Windows([(2.0, 4.0), (5.01, 5.06), (8.0, 8.02)])
    steps = 0.32 + 0.16 * np.arange(200)
    inside = [((steps > s) & (steps < e)).any() for s, e in dataset.segments]
    assert inside == [True, False, False]
    ModelFitHook().before_train(runner(detector(3), dataset))
    assert len(logged) == 1
    assert logged[0].startswith('2 of 3 instances get no target at this stride')
    logged.clear()
    ModelFitHook().before_train(runner(detector(3), Windows([(2.0, 4.0)])))
    assert not logged


def test_matches_are_those_of_the_assignment():
    generator = PointGenerator([1, 2])
    points = Points(*(torch.cat(field) for field in zip(*generator([64, 32]))))
    assigner = CenterSamplingAssigner()
    for start in np.random.default_rng(0).uniform(0, 50, 20):
        segments = torch.tensor([[start, start + 0.9]], dtype=torch.float32)
        targets = assigner.assign(points, segments, torch.zeros(1, dtype=torch.long), 1)
        assert assigner.matches(points, segments)[:, 0].equal(targets.labels[:, 0] > 0)


@pytest.mark.parametrize(
    'classes, words',
    [
        (('a', 'c', 'b'), "another order: label 1 is 'b' and 'c'"),
        (('a', 'b', 'd'), "label 2 is 'c' and 'd'"),
    ],
)
def test_validation_in_another_order_of_classes_is_refused(classes, words):
    run = runner(detector(3), Windows([]))
    run.val_dataloader = SimpleNamespace(dataset=Windows([], classes))
    with pytest.raises(ValueError, match=words):
        ModelFitHook().before_train(run)
    run.val_dataloader = SimpleNamespace(dataset=Windows([]))
    ModelFitHook().before_train(run)


class Loop(BaseLoop):
    """A loop that has been built."""

    def __init__(self):
        self.dataloader = SimpleNamespace(dataset=Windows([]))

    def run(self):
        """Nothing."""


def loading(use, model=None):
    """A runner that tests, resumes or starts from a checkpoint."""
    loops = dict(_test_loop=Loop(), _train_loop={})
    if use != 'test':
        loops = dict(_test_loop={}, _train_loop=Loop())
    cfg = SimpleNamespace(filename='c.py', get=dict(model=model).get)
    return SimpleNamespace(
        **loops, _load_from='a.pth', _resume=use == 'resume', work_dir='work', cfg=cfg
    )


@pytest.mark.parametrize('use, data', [('test', 'test'), ('resume', 'train')])
def test_a_checkpoint_of_other_classes_is_neither_tested_nor_resumed(use, data):
    def checkpoint(*classes):
        return dict(meta=dict(dataset_meta=dict(classes=list(classes))))

    load = partial(ModelFitHook().after_load_checkpoint, loading(use))
    load(checkpoint('a', 'b', 'c'))
    load(dict(meta={}))
    words = rf"of checkpoint a\.pth and `{data}_dataloader.*label 0 is 'b' and 'a'"
    with pytest.raises(ValueError, match=words):
        load(checkpoint('b', 'a', 'c'))
    with pytest.raises(ValueError, match='2 classes and 3'):
        load(checkpoint('a', 'b'))
    # fine-tuning on other classes is no mistake
    ModelFitHook().after_load_checkpoint(loading('start'), checkpoint('b', 'a', 'c'))


def test_first_weights_of_another_model_are_refused():
    run = loading('start')
    run.model = torch.nn.ModuleDict(dict(student=torch.nn.Linear(2, 2)))
    load = partial(ModelFitHook().after_load_checkpoint, run)
    weight = torch.zeros(3, 2)  # of another shape: fine-tuning
    load(dict(state_dict={'student.weight': weight, 'shared_head.weight': weight}))
    load(dict(state_dict={'module.student.weight': weight}))
    words = r'a\.pth has no weight of .* c\.py: its names .* as weight, .* such as student\.weight'
    with pytest.raises(ValueError, match=words):
        load(dict(state_dict=dict(weight=weight)))


def reading(kind, **options):
    """Config of a model by its input."""
    modality = dict(type=kind, **options)
    return dict(type='TADDetector', data_preprocessor=dict(modality=modality))


def student(detector):
    """Config of a distiller."""
    return dict(type='CrossModalDistiller', student=dict(detector=detector))


@pytest.mark.parametrize(
    ('use', 'wrap'),
    [
        ('test', lambda config: dict(meta=config)),
        ('resume', lambda config: dict(message_hub=dict(runtime_info=config))),
    ],
)
def test_a_checkpoint_of_another_input_is_neither_tested_nor_resumed(use, wrap, monkeypatch):
    logged = []
    monkeypatch.setattr(trained_input, 'print_log', lambda text, **_: logged.append(text))
    rgb, gradient = reading('RGBInput'), reading('TemporalGradientInput')

    def load(trained, model, use=use):
        checkpoint = wrap(dict(cfg=Config(dict(model=trained)).pretty_text))
        ModelFitHook().after_load_checkpoint(loading(use, model), checkpoint)

    words = r'checkpoint a\.pth was trained with TemporalGradientInput, `model` of c\.py asks for '
    for model in (rgb, student(rgb)):
        with pytest.raises(ValueError, match=rf'{words}RGBInput: {use} it with the config'):
            load(gradient, model)
        load(rgb, model)
    load(student(rgb), rgb)  # published
    load(gradient, rgb, use='start')  # first weights
    load(gradient, reading('TemporalGradientInput', std=20))  # the default
    load(gradient, reading('TemporalGradientInput', _scope_='mmtad_decomp'))  # by `package::`
    load(dict(type='BMN'), rgb)
    assert not logged
    load(reading('RGBInput', mean=(0, 0, 0)), rgb)
    assert 'trained with RGBInput(mean=[0, 0, 0]), `model` of c.py asks for mean=[1' in logged[0]


@pytest.mark.parametrize(
    ('left_out', 'message'),
    [
        ([['u'], ['v']], None),
        ([['u']], None),
        ([['u'], ['w']], r"each teacher .* was trained on video 'v'"),
        ([['u'], None], 'does not say which videos its training left out'),
    ],
)
def test_several_teachers_must_have_left_out_each_video(left_out, message):
    model = detector(3)
    model.teachers = [
        SimpleNamespace(left_out=videos, checkpoint=f'{i}.pth')
        for i, videos in enumerate(left_out)
    ]
    training = runner(model, Windows([(1, 4)]))
    training.val_loop = None
    if message is None:
        ModelFitHook().before_train(training)
        return
    with pytest.raises(ValueError, match=message):
        ModelFitHook().before_train(training)
