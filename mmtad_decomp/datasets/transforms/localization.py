"""Additions to MMAction2's pipelines of localizers: motion features, and proposals' targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmaction.datasets.transforms import LoadLocalizationFeature
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from mmtad_decomp.structures import pairwise_tiou


@TRANSFORMS.register_module()
class LoadMotionFeature(BaseTransform):
    """Load a video's motion features beside its others; the last step of a pipeline.

    ``inputs`` becomes ``dict(features=..., motion_features=...)``, each ``(C, T)`` float32. The
    file is ``<folder>/<video_name>.csv`` of MMAction2's form: a header, then a row for each step.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._loader = LoadLocalizationFeature()

    def transform(self, results: dict) -> dict:
        """Add the features.

        Raises:
            ValueError: If the pipeline has not packed its inputs yet, or the features differ in
                length.
            FileNotFoundError: If the video has no file.
        """
        if 'inputs' not in results or isinstance(results['inputs'], dict):
            raise ValueError(
                'LoadMotionFeature: put it once into the pipeline, after PackLocalizationInputs'
            )
        path = self.folder / f'{results["data_samples"].video_name}.csv'
        if not path.is_file():
            raise FileNotFoundError(
                f'motion features {path} do not exist: set `LoadMotionFeature.folder` to where '
                'they are, one file of this name for each video'
            )
        motion = self._loader.transform(dict(feature_path=str(path)))['raw_feature']
        features = results['inputs']
        if motion.shape[1] != features.shape[1]:
            raise ValueError(
                f'motion features {path} have {motion.shape[1]} steps, the features of the video '
                f'{features.shape[1]}: rescale them to the same'
            )
        motion = torch.from_numpy(np.ascontiguousarray(motion))
        results['inputs'] = dict(features=features, motion_features=motion)
        return results


@TRANSFORMS.register_module()
class MatchProposals(BaseTransform):
    """Give each proposal the ground truth that it overlaps most; after GenerateLocalizationLabels.

    MMAction2 1.2's TCANet trains proposal j with row j of ``gt_bbox``, and proposals beyond the
    last row with nothing, so without this step most have no target.

    Args:
        max_proposals: Proposals to keep, those with the highest scores.
    """

    def __init__(self, max_proposals: int = 100) -> None:
        self.max_proposals = max_proposals

    def transform(self, results: dict) -> dict:
        """Turn ``gt_bbox`` ``(G, 2)`` into ``(P, 2)``, and sort ``proposals`` ``(P, 3)`` (start,
        end, score; fractions of the video).

        Raises:
            ValueError: If the annotations hold no proposals or no instances.
        """
        if not len(results.get('proposals', ())):
            raise ValueError(
                f'video {results.get("video_name")!r} has no `proposals` in the annotation file: '
                'a list of [start, end, score], times as fractions of its duration'
            )
        if not len(results['gt_bbox']):
            raise ValueError(
                f'video {results.get("video_name")!r} has no instance in the annotation file, so '
                'its proposals have no target: leave it out of the training'
            )
        proposals = np.asarray(results['proposals'], dtype=np.float32)
        order = np.argsort(-proposals[:, 2], kind='stable')[: self.max_proposals]
        results['proposals'] = proposals[order]
        best = pairwise_tiou(proposals[order, :2], results['gt_bbox']).argmax(axis=1)
        results['gt_bbox'] = results['gt_bbox'][best]
        return results
