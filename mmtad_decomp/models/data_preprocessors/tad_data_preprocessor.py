"""From the data loader's lists of uint8 clips to padded, masked, normalised batches."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmtad_decomp.utils.compilation import outside_of_graphs


def pad_and_stack(clips: list[Tensor], length: int, time_dim: int, repeat_last: bool) -> Tensor:
    """Stack clips of different lengths.

    Args:
        clips: Tensors that differ only in dimension ``time_dim``.
        length: Length to pad to.
        time_dim: The time dimension of a clip.
        repeat_last: Pad with the last step instead of zeros.

    Returns:
        ``(N, ...)`` with ``length`` steps.
    """
    shape = list(clips[0].shape)
    shape[time_dim] = length
    for i, clip in enumerate(clips):
        other = list(clip.shape)
        other[time_dim : time_dim + 1] = [length]
        if other != shape:
            raise ValueError(
                f'clip {i} of the batch has shape {tuple(clip.shape)}, clip 0 '
                f'{tuple(clips[0].shape)}; they may differ in dimension {time_dim} (time) only: '
                'crop frames to one size in the pipeline'
            )
    batch = clips[0].new_zeros(len(clips), *shape)
    for row, clip in zip(batch, clips):
        steps = clip.shape[time_dim]
        row.narrow(time_dim, 0, steps).copy_(clip)
        if repeat_last and 0 < steps < length:
            tail = row.narrow(time_dim, steps, length - steps)
            tail.copy_(clip.narrow(time_dim, steps - 1, 1).expand_as(tail))
    return batch


@MODELS.register_module()
class TADDataPreprocessor(BaseDataPreprocessor):
    """Move a batch to the device, pad it in time, and make the detector's input from it.

    Frames stay uint8 until here. Clips shorter than the longest are padded (frames by repeating
    the last one, so that a temporal shift sees no cut, and so features whose differences are the
    input; flow, in which nothing moves then, and other features by zeros) and the padding is
    masked.

    Args:
        modality: Config of the input module: :class:`RGBInput`, :class:`TemporalGradientInput`,
            :class:`OpticalFlowInput`, :class:`FeatureInput` or :class:`FeatureDifferenceInput`.
        pad_to: Pad every batch to at least this many steps, so that its shape does not change
            from batch to batch. Default: the longest clip of the batch.
    """

    def __init__(
        self, modality: dict, pad_to: int | None = None, non_blocking: bool = False
    ) -> None:
        super().__init__(non_blocking)
        self.modality = MODELS.build(modality)
        self.pad_to = pad_to

    @outside_of_graphs
    def cast_data(self, data: Any) -> Any:
        """Move a batch to the device; ``torch.compile`` leaves this out of its graphs.

        MMEngine copies the metadata of samples. A graph of that holds for this batch alone, so
        each batch would be compiled again.
        """
        return super().cast_data(data)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Make a batch.

        Args:
            data: ``inputs`` maps modalities to lists of clips; a bare list, such as MMAction2's
                ``PackLocalizationInputs`` makes, holds features. ``data_samples`` is a list.
            training: Unused; part of MMEngine's interface.

        Returns:
            ``inputs`` float32 ``(N, T, C, H, W)`` or ``(N, C, T)``, ``masks`` ``(N, T)`` bool,
            True at valid steps, and ``data_samples``.

        Raises:
            ValueError: If the pipeline does not load the modality, or clips differ in more than
                their length.
        """
        data = self.cast_data(data)
        key, inputs = self.modality.key, data['inputs']
        if not isinstance(inputs, dict):
            inputs = dict(features=inputs)
        if key not in inputs:
            raise ValueError(
                f'{type(self.modality).__name__} needs "{key}", the pipeline loads '
                f'{sorted(inputs)}; change the pipeline or `data_preprocessor.modality`'
            )
        clips = inputs[key]
        time_dim = getattr(self.modality, 'time_dim', 0)
        lengths = [clip.shape[time_dim] for clip in clips]
        length = max(*lengths, self.pad_to or 0, 1)
        repeat_last = getattr(self.modality, 'repeat_last', time_dim == 0)
        batch = pad_and_stack(clips, length, time_dim, repeat_last=repeat_last)
        steps = torch.arange(length, device=batch.device)
        masks = steps[None] < torch.tensor(lengths, device=batch.device)[:, None]
        inputs = self.modality(batch)
        return dict(inputs=inputs, masks=masks, data_samples=data.get('data_samples'))
