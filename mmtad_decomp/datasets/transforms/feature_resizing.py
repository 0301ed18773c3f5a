"""Features of a fixed number of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .loading import FEATURE_KEYS


@TRANSFORMS.register_module()
class ResizeFeatures(BaseTransform):
    """Stretch or shrink a whole video's features to a fixed number of steps.

    The steps are interpolated linearly, as ActionFormer does to 192 steps of ActivityNet from I3D
    features. Segments stay in seconds; the time grid gets the steps' new distance.

    Args:
        steps: Steps of the result.

    Raises:
        ValueError: If ``steps`` is below 1.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise ValueError(f'ResizeFeatures.steps must be at least 1, got {steps}')
        self.steps = steps

    def transform(self, results: dict) -> dict:
        """Resize all features ``(C, T)`` to ``(C, steps)``.

        Raises:
            ValueError: If a part of the video was cropped before.
        """
        length = results['features'].shape[1]
        if tuple(results['window']) != (0, length):
            raise ValueError(
                f'video "{results["video_id"]}": ResizeFeatures resizes whole videos; put it '
                'right after the loaders, and leave RandomFeatureCrop out or behind it'
            )
        for key in FEATURE_KEYS:
            if key in results:
                whole = torch.from_numpy(np.ascontiguousarray(results[key]))
                resized = F.interpolate(whole[None], size=self.steps, mode='linear')[0]
                results[key] = resized.numpy()
        results['window'] = (0, self.steps)
        results['feature_steps'] = self.steps
        results['time_grid'] = results['time_grid'].coarsen(length / self.steps)
        return results

    def check_videos(self, windows: Sequence[Mapping]) -> None:
        """Check that videos are served whole; the data set calls it before anything is loaded.

        Args:
            windows: Descriptions of windows, as the data set lists them.

        Raises:
            ValueError: If the data set cuts videos into windows.
        """
        if any(window['window'][1] is not None for window in windows):
            raise ValueError(
                'ResizeFeatures resizes whole videos; leave `window` of the data set out, or '
                'ResizeFeatures'
            )
