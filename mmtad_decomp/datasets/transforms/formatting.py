"""From a loaded window to what the model is given."""

from __future__ import annotations

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData

from mmtad_decomp.structures import TADDataSample

from .loading import FEATURE_KEYS


@TRANSFORMS.register_module()
class PackTADInputs(BaseTransform):
    """Pack a window into ``inputs`` and a :class:`TADDataSample`.

    ``inputs`` maps each modality that was loaded to a tensor: ``frames`` ``(T, 3, H, W)`` uint8,
    ``flow`` ``(T, 2, H, W)``, ``features`` and ``motion_features`` ``(C, T)`` float32.
    """

    def transform(self, results: dict) -> dict:
        """Pack the window; times stay float64, so that they lose nothing on the way."""
        inputs = {}
        for key in ('frames', 'flow'):
            if key in results:
                clip = np.ascontiguousarray(results[key].transpose(0, 3, 1, 2))
                inputs[key] = torch.from_numpy(clip)
                num_steps = len(clip)
        for key in FEATURE_KEYS:
            if key in results:
                inputs[key] = torch.from_numpy(np.ascontiguousarray(results[key]))
                num_steps = results[key].shape[1]
        if not inputs:
            raise ValueError(
                f'video "{results["video_id"]}": nothing to pack; put a loader (LoadVideoFrames, '
                'LoadFrameFolder or LoadFeatures) before PackTADInputs in the pipeline'
            )
        sample = TADDataSample(
            metainfo=dict(
                video_id=results['video_id'],
                window=tuple(results['window']),
                time_grid=results['time_grid'],
                duration=results['duration'],
                num_steps=num_steps,
            )
        )
        sample.gt_instances = InstanceData(
            segments=torch.as_tensor(results['segments'], dtype=torch.float64).reshape(-1, 2),
            labels=torch.as_tensor(results['labels'], dtype=torch.int64),
        )
        return dict(inputs=inputs, data_samples=sample)
