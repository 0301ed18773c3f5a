"""The motion teacher: a trained detector that is only ever asked, never trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from torch import nn

from mmtad_decomp.utils import load_checkpoint, resolve_checkpoint

from ..data_preprocessors import check_trained_input


class FrozenTeacher(nn.Module):
    """A detector in eval mode without gradients.

    Args:
        detector: Config of the detector, its data preprocessor (and so its modality) included.
        checkpoint: Its checkpoint: a file, or the work directory of its training.
        allow_pickle: Read a legacy checkpoint that plain ``weights_only`` loading refuses. Such a
            file can run code; only set it for files you trust.

    Attributes:
        classes: Names of the classes that it was trained for, in label order, as far as its
            checkpoint says so; None before :meth:`load`.
        left_out: Ids of the videos that its training left out
            (``TADDataset(leave_out=...)``); None where its checkpoint names none.
    """

    def __init__(
        self, detector: dict, checkpoint: str | None = None, allow_pickle: bool = False
    ) -> None:
        super().__init__()
        self._config = detector
        self.detector = MODELS.build(detector)
        self.checkpoint = checkpoint
        self.allow_pickle = allow_pickle
        self.classes: tuple[str, ...] | None = None
        self.left_out: frozenset[str] | None = None
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenTeacher:
        """Stay in eval mode."""
        return super().train(False)

    def load(self) -> None:
        """Load the checkpoint.

        Raises:
            FileNotFoundError: If no checkpoint is named or it does not exist.
            ValueError: If it does not fit the detector, or was trained with another input.
        """
        if self.checkpoint is None:
            raise FileNotFoundError(
                'the teacher has no checkpoint: train one with a config of configs/teacher/ and '
                'set `model.teacher_checkpoint` to its file or work directory'
            )
        path = resolve_checkpoint(self.checkpoint)
        content = load_checkpoint(path, allow_pickle=self.allow_pickle)
        check_trained_input(
            content,
            self._config,
            f'teacher checkpoint {path}',
            '`distill.teacher`',
            'set `model.teacher_checkpoint` to one that was trained with this input',
        )
        state = content.get('state_dict', content)
        state = {_strip_wrappers(key): value for key, value in state.items()}
        self._load_state(path, state)
        classes, left_out = (_data_set_fact(content, key) for key in ('classes', 'left_out'))
        self.classes = None if classes is None else tuple(classes)
        self.left_out = None if left_out is None else frozenset(left_out)
        print_log(f'teacher loaded from {path}', logger='current')

    def _load_state(self, path: str, state: Mapping[str, torch.Tensor]) -> None:
        """Load weights, of which modules may fill in what older files lack."""
        shapes = [
            f'{key}: {tuple(state[key].shape)} in the file, {tuple(value.shape)} in the model'
            for key, value in self.detector.state_dict().items()
            if key in state and state[key].shape != value.shape
        ]
        misfit = f'teacher checkpoint {path} does not fit `distill.teacher.detector`'
        missing: list[str] = []
        surplus: list[str] = []
        if not shapes:
            try:
                missing, surplus = self.detector.load_state_dict(state, strict=False)
            except RuntimeError as error:  # of a module
                raise ValueError(f'{misfit}: {error}') from error
        for problem, names in (('is missing', missing), ('has another shape', shapes)):
            if names:
                raise ValueError(
                    f'{misfit}: {len(names)} entries whose weight {problem}, such as {names[0]}. '
                    'Train the teacher with the same backbone, neck, head and classes, or change '
                    'the config'
                )
        if surplus:
            raise ValueError(
                f'teacher checkpoint {path} holds {len(surplus)} weights that '
                f'`distill.teacher.detector` has no place for, such as {surplus[0]}; it is the '
                'checkpoint of another model'
            )


def _data_set_fact(content: Mapping, fact: str) -> Any:
    """What MMEngine wrote of the training's data set into a checkpoint, if anything."""
    found: Any = content
    for key in ('meta', 'dataset_meta', fact):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _strip_wrappers(key: str) -> str:
    while key.startswith(('module.', '_orig_mod.')):
        key = key.split('.', 1)[1]
    return key
