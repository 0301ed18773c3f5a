"""Refusing heads that do not fit the data set, before anything is trained or tested."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmaction.registry import HOOKS
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mmtad_decomp.annotations.content import class_difference
from mmtad_decomp.evaluation.metrics import ProposalMetric
from mmtad_decomp.evaluation.metrics.video_metric import VideoMetric
from mmtad_decomp.models.data_preprocessors import check_trained_input
from mmtad_decomp.models.detectors import TADDetector
from mmtad_decomp.models.distillers import choose_teacher
from mmtad_decomp.models.heads import PointHead, TemporalHead
from mmtad_decomp.utils import check_class_count, unwrap_model


@HOOKS.register_module()
class ModelFitHook(Hook):
    """Compare the model's heads with the data set and the evaluation.

    1. A head has as many classes as the data set, or one: it is then class-agnostic.
    2. Detections of a class-agnostic head need an external classifier that names them
       (``mode='assign'``), unless the data set has one class or proposals are evaluated: a warning
       in training, where mAP is a side product, an error in testing.
    3. Training and validation data have the same classes in the same order, and so do a checkpoint
       that is tested or resumed and the data.
    4. A checkpoint that is tested or resumed was trained with the input that the model has.
    5. First weights of a training (``load_from``) have a name in common with the model's.
    6. Validation in training has an instance to evaluate with.
    7. Before training, a warning counts the instances that no point of the head can stand for:
       they are too short, too long or between its steps, and would be background.
    8. Where a student has several teachers, one of them left out each training video.

    A teacher's input is compared when it is loaded, its classes are by
    :class:`~mmtad_decomp.engine.hooks.TeacherClassesHook`.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training, and the evaluation in between.

        Raises:
            ValueError: If the head does not fit, classes or their order differ, all of several
                teachers were trained on a video, or there is nothing to validate with.
        """
        dataset = runner.train_dataloader.dataset
        _check_classes(runner.model, dataset)
        _check_left_out(runner.model, dataset)
        if runner.val_loop is not None:
            validation = runner.val_dataloader.dataset
            _check_classes(runner.model, validation)
            _check_order(
                _classes(dataset),
                _classes(validation),
                f'`train_dataloader.dataset` ({_file(dataset)})',
                f'`val_dataloader.dataset` ({_file(validation)})',
            )
            for metric in runner.val_loop.evaluator.metrics:
                if isinstance(metric, VideoMetric):
                    metric.demand_instances('`val_evaluator`, or train with --no-validate')
        _warn_of_lost_instances(runner.model, dataset)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare a checkpoint that is tested or resumed with the data and the config.

        Raises:
            ValueError: If its classes differ, in number, name or order, or its input does; if
                first weights of a training have nothing in common with the model.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            use, phase, loop = 'test', 'test', runner._test_loop
        else:
            use, phase = 'resume', 'train'
            loop = runner._train_loop if runner._resume else None
        if not isinstance(loop, BaseLoop):  # first weights for a training, or validation alone
            _demand_common_weights(runner, checkpoint)
            return
        source = f'checkpoint {runner._load_from or f"in {runner.work_dir}"}'
        check_trained_input(
            checkpoint,
            runner.cfg.get('model'),
            source,
            f'`model` of {runner.cfg.filename}',
            f'{use} it with the config that it was trained with',
        )
        dataset = loop.dataloader.dataset
        _check_order(
            (checkpoint.get('meta', {}).get('dataset_meta') or {}).get('classes'),
            _classes(dataset),
            f'the training of {source}',
            f'`{phase}_dataloader.dataset` ({_file(dataset)})',
        )

    def before_val(self, runner: Runner) -> None:
        """Check the evaluation.

        Raises:
            ValueError: If the head does not fit.
        """
        _check_classes(runner.model, runner.val_dataloader.dataset)
        _check_classifier(runner.model, runner.val_loop.evaluator, 'val')

    def before_test(self, runner: Runner) -> None:
        """Check the test.

        Raises:
            ValueError: If the head does not fit.
        """
        _check_classes(runner.model, runner.test_dataloader.dataset)
        _check_classifier(runner.model, runner.test_loop.evaluator, 'test')


def _heads(model: nn.Module) -> Iterator[tuple[str, TemporalHead]]:
    """Heads with classes, and their places in the config; a teacher's are left out."""
    for name, module in unwrap_model(model).named_modules():
        known = isinstance(module, TemporalHead) and hasattr(module, 'num_classes')
        if known and 'teacher' not in name.split('.'):
            yield f'model.{name}', module


def _classes(dataset: object) -> Sequence[str] | None:
    return getattr(dataset, 'metainfo', {}).get('classes')


def _file(dataset: object) -> str:
    return str(getattr(dataset, 'ann_file', type(dataset).__name__))


def _check_order(
    first: Sequence[str] | None, second: Sequence[str] | None, one: str, other: str
) -> None:
    """Refuse two lists of classes that a label is an index into, if they differ."""
    how = '' if first is None or second is None else class_difference(first, second)
    if how:
        raise ValueError(
            f'{one} and {other} have {how}; give both the same `metainfo.classes`, or "classes" '
            'in their annotation files'
        )


def _demand_common_weights(runner: Runner, checkpoint: dict) -> None:
    """Refuse weights none of which has a name of the model; MMEngine would go on without them."""
    names = [key.removeprefix('module.') for key in checkpoint.get('state_dict', ())]
    if not names:
        return
    own = unwrap_model(runner.model).state_dict()
    if own.keys().isdisjoint(names):
        raise ValueError(
            f'checkpoint {runner._load_from} has no weight of `model` of {runner.cfg.filename}: '
            f'its names are such as {names[0]}, those of the model such as {next(iter(own))}. Set '
            '`load_from` to a checkpoint of the same model, or take the backbone alone by '
            '`init_cfg` (docs/en/user_guides/train_test.md)'
        )


def _check_classes(model: nn.Module, dataset: object) -> None:
    classes = _classes(dataset)
    if classes is None:
        return
    for name, head in _heads(model):
        check_class_count(f'{name}.num_classes', head.num_classes, classes)


def _check_classifier(model: nn.Module, evaluator: Evaluator, phase: str) -> None:
    agnostic = [name for name, head in _heads(model) if head.num_classes == 1]
    for metric in evaluator.metrics if agnostic else ():
        if not isinstance(metric, VideoMetric) or isinstance(metric, ProposalMetric):
            continue
        processor = metric.merger.post_processor
        named = processor is not None and not getattr(processor, 'reads_labels', False)
        if len(metric.result_classes) > 1 and not named:
            message = (
                f'{agnostic[0]}.num_classes is 1, a class-agnostic head, but no classifier names '
                f'its candidates: all would be called "{metric.result_classes[0]}". Set '
                f"`{phase}_evaluator.post_processor.classifier` with mode='assign', evaluate by "
                f'ProposalMetric, or set num_classes to {len(metric.result_classes)}'
            )
            if phase == 'test':
                raise ValueError(message)
            print_log(message, logger='current', level=logging.WARNING)


def _check_left_out(model: nn.Module, dataset: Any) -> None:
    """Refuse several teachers that were all trained on one of the student's videos."""
    teachers = getattr(unwrap_model(model), 'teachers', ())
    if len(teachers) < 2 or not hasattr(dataset, 'get_data_info'):
        return
    videos = {dataset.get_data_info(index).get('video_id') for index in range(len(dataset))}
    for video_id in videos:
        choose_teacher(teachers, video_id)


def can_be_learned(detector: TADDetector, window: dict) -> list[bool]:
    """Whether a point of the head can stand for each instance of a window.

    Args:
        detector: A detector with a :class:`~mmtad_decomp.models.heads.PointHead`.
        window: Description of a window by :class:`~mmtad_decomp.datasets.TADDataset`.
    """
    grid = window['time_grid'].coarsen(detector.feature_stride, detector.feature_offset)
    start, stop = window['window']
    if stop is None:
        steps = window['duration'] * grid.fps / grid.stride
    else:
        steps = (stop - start) / detector.feature_stride
    segments = torch.from_numpy(grid.to_steps(window['segments'])).float()
    return [bool(served) for served in detector.head.can_serve(segments, max(1, math.ceil(steps)))]


def _warn_of_lost_instances(model: nn.Module, dataset: Any) -> None:
    """Count the instances without a target in any window."""
    model = unwrap_model(model)
    detector = getattr(model, 'student', model)
    head = getattr(detector, 'head', None)
    if not isinstance(detector, TADDetector) or not isinstance(head, PointHead):
        return
    if not hasattr(dataset, 'get_data_info'):
        return
    served: dict[tuple[str, int], bool] = {}
    steps_seconds = 0.0
    for window in map(dataset.get_data_info, range(len(dataset))):
        if 'time_grid' not in window or not len(window['segments']):
            continue
        grid = window['time_grid']
        steps_seconds = grid.stride * detector.feature_stride / grid.fps
        for number, has_target in zip(window['instance_ids'], can_be_learned(detector, window)):
            key = (window['video_id'], int(number))
            served[key] = served.get(key, False) or has_target
    lost = sum(not has_target for has_target in served.values())
    if lost:
        print_log(
            f'{lost} of {len(served)} instances get no target at this stride: no point of '
            f'{type(head).__name__}, one every {steps_seconds:.3g} s, can stand for them, so they '
            'are trained as background. Use a finer stride (or more levels, for long ones), and '
            'check that "segment" is in seconds',
            logger='current',
            level=logging.WARNING,
        )
