"""Base class of detection heads, as detectors and distillers see them."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.structures import TADDataSample


class ExtraBatch(NamedTuple):
    """A second batch that a head wants to see in training.

    Attributes:
        inputs: ``(M, T, C, H, W)`` frames or ``(M, C, T)`` features; M may be 0.
        masks: ``(M, T)`` bool, True at valid steps.
        data_samples: One for each window, with its ground truth in seconds.
    """

    inputs: Tensor
    masks: Tensor
    data_samples: list[TADDataSample]


class ExportedLengths(NamedTuple):
    """Lengths of features in steps. Shorter windows are padded, which changes no prediction.

    Attributes:
        multiple: Every length is a multiple of this.
        longest: The longest one; None: any.
    """

    multiple: int = 1
    longest: int | None = None


class TemporalHead(BaseModule, metaclass=ABCMeta):
    """A head reads features over time and knows nothing of seconds, videos or NMS.

    Segments go in and come out in feature steps: step g is where ``feats[:, :, g]`` lies.

    Args:
        num_classes: K.
        in_channels: D, the width of the features that it reads.

    Attributes:
        title: Name of the method in tables, a class attribute.
    """

    title: ClassVar[str]

    def __init__(self, num_classes: int, in_channels: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_classes = num_classes
        self.in_channels = in_channels

    def check_channels(self, feats: Tensor) -> None:
        """Require ``(N, D, T)`` features.

        Raises:
            ValueError: If they have another width; names the option to change.
        """
        if feats.ndim != 3 or feats.shape[1] != self.in_channels:
            raise ValueError(
                f'expected features (N, {self.in_channels}, T), got {tuple(feats.shape)}; set '
                "the head's in_channels to the width of what it reads"
            )

    @abstractmethod
    def forward(self, feats: Tensor, masks: Tensor) -> Any:
        """Compute raw outputs from ``(N, D, T)`` features and ``(N, T)`` bool masks."""

    @abstractmethod
    def loss_by_feat(self, outputs: Any, gt: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Compute losses.

        Args:
            outputs: Result of :meth:`forward`.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,).

        Returns:
            Scalars by name.
        """

    @abstractmethod
    def predict_by_feat(self, outputs: Any) -> list[InstanceData]:
        """Turn raw outputs into candidates, without NMS.

        Args:
            outputs: Result of :meth:`forward`.

        Returns:
            Per sample ``segments`` (M, 2) in feature steps, ``scores`` (M,) and ``labels`` (M,).
        """

    @abstractmethod
    def dense_predictions(self, outputs: Any) -> dict[str, Tensor]:
        """The tensors from which :meth:`predict_by_feat` selects, for exported models.

        Args:
            outputs: Result of :meth:`forward`.

        Returns:
            Tensors by name, whose number and shapes depend on the shape of the features alone:
            ``scores``, 0 where nothing can be, and ``segments`` (..., 2) in feature steps, one
            pair of them per level of a pyramid (``scores_0``, ``segments_0``, ...). The docstring
            of a head tells other names.
        """

    def exported_lengths(self) -> ExportedLengths:
        """Lengths of the features that one exported graph can be for."""
        return ExportedLengths()

    def extra_batch(
        self, inputs: Tensor, masks: Tensor, data_samples: Sequence[TADDataSample]
    ) -> ExtraBatch | None:
        """A second batch that the detector is to run on in training; None if there is none.

        Args:
            inputs: ``(N, T, C, H, W)`` frames or ``(N, C, T)`` features of the batch.
            masks: ``(N, T)`` bool, True at valid steps.
            data_samples: One for each window, with its ground truth.
        """
        return None

    def extra_loss(self, outputs: Any | None, gt: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Compute losses of the extra batch; only called if there is one.

        Args:
            outputs: Result of :meth:`forward`; None, or that of one window that stands in, if the
                batch has none.
            gt: Per sample ``segments`` (G, 2) in feature steps and ``labels`` (G,). If empty, the
                losses are 0, by the same modules as else where a window stands in.

        Returns:
            Scalars by name, of other names than those of :meth:`loss_by_feat`.
        """
        raise NotImplementedError(f'{type(self).__name__} has no extra batch')
