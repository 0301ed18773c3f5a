"""AR@AN of what a temporal evaluation module (BSN's TEM) finds, without BSN's further stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mmengine
import numpy as np
from mmaction.models.localizers.utils import post_processing
from mmaction.registry import METRICS

from .localizer_proposal_metric import LocalizerProposalMetric


def boundary_proposals(scores: np.ndarray, peak_ratio: float = 0.5) -> np.ndarray:
    """Pair likely starts with later likely ends, as BSN does.

    A step is likely if its score is a local maximum or above ``peak_ratio`` times the video's
    highest one. (The first step may start and the last one end an action too.)

    Args:
        scores: ``(T, 5)`` actionness, start and end scores, and start and end of each step as
            fractions of the video.
        peak_ratio: See above.

    Returns:
        ``(M, 3)`` start, end (middles of steps) and start score times end score.
    """
    starts, ends = (_likely(scores[:, column], peak_ratio) for column in (1, 2))
    starts[0] = ends[-1] = True
    first, last = np.nonzero(
        starts[:, None] & np.triu(np.ones((len(scores),) * 2, bool), 1) & ends
    )
    middles = scores[:, 3:5].mean(axis=1)
    return np.stack([middles[first], middles[last], scores[first, 1] * scores[last, 2]], axis=1)


def _likely(values: np.ndarray, peak_ratio: float) -> np.ndarray:
    padded = np.pad(values, 1, constant_values=np.inf)
    peaks = (values > padded[:-2]) & (values > padded[2:])
    return peaks | (values > peak_ratio * values.max())


@METRICS.register_module()
class BoundaryProposalMetric(LocalizerProposalMetric):
    """AR@AN (MMAction2's) of proposals paired from TEM's scores, after soft-NMS.

    Args:
        ann_file: The annotation file of the data set that is tested.
        peak_ratio: See :func:`boundary_proposals`.
        soft_nms: ``alpha``, ``low_threshold`` and ``high_threshold`` of MMAction2's soft-NMS,
            BSN's by default.
        top_k: Proposals kept per video.
        feature_extraction_interval: Frames per step when the features were extracted.
        **kwargs: ``collect_device`` and ``prefix``.
    """

    def __init__(
        self,
        ann_file: str,
        peak_ratio: float = 0.5,
        soft_nms: Sequence[float] = (0.75, 0.65, 0.9),
        top_k: int = 100,
        feature_extraction_interval: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(metric_type='AR@AN', metric_options={}, **kwargs)
        self.videos = mmengine.load(ann_file)
        self.peak_ratio = peak_ratio
        self.post_processing = (*soft_nms, top_k, feature_extraction_interval)

    def process(  # type: ignore[override]  # TEM hands over pairs, not data samples.
        self, data_batch: Any, predictions: Sequence[tuple[str, np.ndarray]]
    ) -> None:
        """Turn scores of videos into proposals.

        Raises:
            KeyError: If a video is not in the annotation file.
            ValueError: If a score is NaN or infinite.
        """
        for name, scores in predictions:
            if name not in self.videos:
                raise KeyError(
                    f'BoundaryProposalMetric: video {name!r} is not in `ann_file`; name the '
                    'annotation file of the data set that is tested'
                )
            scores = np.asarray(scores)
            if not np.isfinite(scores).all():
                raise ValueError(
                    f'video "{name}": its scores have NaN or infinity; the model diverged or its '
                    'input is broken'
                )
            proposals = boundary_proposals(scores, self.peak_ratio)
            found = post_processing(proposals, self.videos[name], *self.post_processing)
            self.keep(name, found, self.videos[name]['annotations'])
