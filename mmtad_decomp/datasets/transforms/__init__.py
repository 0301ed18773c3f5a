"""Pipeline steps: loading, geometric and photometric augmentation, packing."""

from .formatting import PackTADInputs
from .geometric import (
    CenterSpatialCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomSpatialCrop,
    ResizeShortSide,
)
from .loading import LoadFeatures, LoadFrameFolder, LoadVideoFrames, RandomFeatureCrop
from .photometric import PhotometricDistortion

__all__ = [
    'CenterSpatialCrop',
    'LoadFeatures',
    'LoadFrameFolder',
    'LoadVideoFrames',
    'PackTADInputs',
    'PhotometricDistortion',
    'RandomFeatureCrop',
    'RandomHorizontalFlip',
    'RandomRotation',
    'RandomSpatialCrop',
    'ResizeShortSide',
]
