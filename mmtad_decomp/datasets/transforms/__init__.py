"""Pipeline steps: loading, geometric and photometric augmentation, packing."""

from .feature_resizing import ResizeFeatures
from .flow import LoadOpticalFlow
from .formatting import PackTADInputs
from .geometric import (
    CenterSpatialCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomSpatialCrop,
    ResizeShortSide,
)
from .loading import LoadFeatures, LoadFrameFolder, LoadVideoFrames, RandomFeatureCrop
from .localization import LoadMotionFeature, MatchProposals
from .photometric import PhotometricDistortion

__all__ = [
    'CenterSpatialCrop',
    'LoadFeatures',
    'LoadFrameFolder',
    'LoadMotionFeature',
    'LoadOpticalFlow',
    'LoadVideoFrames',
    'MatchProposals',
    'PackTADInputs',
    'PhotometricDistortion',
    'RandomFeatureCrop',
    'RandomHorizontalFlip',
    'RandomRotation',
    'RandomSpatialCrop',
    'ResizeFeatures',
    'ResizeShortSide',
]
