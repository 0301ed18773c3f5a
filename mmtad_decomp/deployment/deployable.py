"""A detector as one function of tensors: raw input and masks to dense predictions."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class InputDims(NamedTuple):
    """Shapes that an exported detector takes.

    Attributes:
        name: ``'frames'`` or ``'features'``, the input beside ``'masks'``.
        multiple: Its length is a multiple of this, in frames or feature steps.
        longest: Its greatest length.
    """

    name: str
    multiple: int
    longest: int


class DeployableDetector(nn.Module):
    """The part of a detector that runs at inference, up to the selection of candidates.

    Inputs are ``frames`` ``(N, T, 3, H, W)`` uint8 RGB or ``features`` ``(N, C, T)`` float32, and
    ``masks`` ``(N, T)`` bool, True at valid steps. Outputs are the head's
    :meth:`~mmtad_decomp.models.heads.TemporalHead.dense_predictions`.

    Args:
        detector: A :class:`~mmtad_decomp.models.detectors.TADDetector`, which is copied.
        longest: Greatest length to export for, in feature steps.
        facts: More metadata, of plain types, such as the classes.

    Attributes:
        names: Names of the outputs, known after a call.

    Raises:
        TypeError: If the model is not such a detector, or its head cannot be exported.
        ValueError: If no length is both short enough and a multiple of what the head needs.
    """

    def __init__(
        self,
        detector: nn.Module,
        longest: int = 4096,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        head = getattr(detector, 'head', None)
        if not hasattr(head, 'dense_predictions') or not hasattr(detector, 'detect'):
            raise TypeError(
                f'{type(detector).__name__} with {type(head).__name__} cannot be exported: only '
                'detectors with a TemporalHead of this package define dense predictions'
            )
        self.detector = copy.deepcopy(detector).float().eval().requires_grad_(False)
        if hasattr(self.detector.backbone, 'chunk_size'):
            self.detector.backbone.chunk_size = None  # chunks would fix the batch size
        self.modality = self.detector.data_preprocessor.modality
        self.dims = self._input_dims(longest)
        self.facts = dict(facts or {})
        self.names: tuple[str, ...] = ()

    def _input_dims(self, longest: int) -> InputDims:
        lengths, stride = self.detector.head.exported_lengths(), self.detector.feature_stride
        window = getattr(self.detector.backbone, 'temporal_multiple', 1)
        multiple = math.lcm(lengths.multiple * stride, window)
        longest = min(longest, longest if lengths.longest is None else lengths.longest) * stride
        if longest < multiple:
            raise ValueError(
                f'windows have at least {multiple} steps, but at most {longest}: raise --longest '
                "or the head's greatest length (max_seq_len, max_steps)"
            )
        return InputDims(self.modality.key, multiple, longest // multiple * multiple)

    def forward(self, inputs: Tensor, masks: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            inputs: Frames or features, see the class.
            masks: ``(N, T)`` bool, True = valid.

        Returns:
            The tensors that :attr:`names` names.
        """
        outputs = self.detector.detect(self.modality(inputs), masks)
        found = self.detector.head.dense_predictions(outputs)
        self.names = tuple(found)
        return tuple(found.values())

    def metadata(self) -> dict[str, Any]:
        """Facts for a user of the graph, of plain types."""
        detector, head = self.detector, self.detector.head
        stride, offset = detector.feature_stride, detector.feature_offset
        generator = getattr(head, 'point_generator', None)
        return dict(
            detector=type(detector).__name__,
            head=type(head).__name__,
            num_classes=head.num_classes,
            outputs=list(self.names),
            feature_stride=stride,
            feature_offset=(stride - 1) / 2 if offset is None else offset,
            point_strides=list(generator.strides) if generator else [],
            **self.dims._asdict(),
            **self.facts,
        )


def example_inputs(
    model: DeployableDetector,
    batch: int,
    units: int,
    size: tuple[int, int] = (224, 224),
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """Noise of the shapes and types that a model takes; the last window is half padding.

    Args:
        model: The model.
        batch: N.
        units: Length, in multiples of ``model.dims.multiple``.
        size: Height and width of frames.
        seed: Of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = units * model.dims.multiple
    masks = torch.ones(batch, steps, dtype=torch.bool)
    masks[-1, (steps + 1) // 2 :] = False
    backbone = model.detector.backbone
    if backbone is None:
        width = _feature_channels(model.detector)
        return torch.randn((batch, width, steps), generator=generator), masks
    shape = (batch, steps, backbone.in_channels or 3, *size)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    return (frames if model.modality.key == 'frames' else frames / 128 - 1.0), masks


def _feature_channels(detector: nn.Module) -> int:
    """Channels of the features that a detector without a backbone reads."""
    readers = [detector.head] if detector.neck is None else list(detector.neck.modules())
    return next(module.in_channels for module in readers if hasattr(module, 'in_channels'))
