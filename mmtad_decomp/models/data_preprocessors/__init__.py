"""Batches from the data loader to the model's device and input range."""

from .inputs import FeatureDifferenceInput, FeatureInput, RGBInput, TemporalGradientInput
from .optical_flow_input import OpticalFlowInput
from .tad_data_preprocessor import TADDataPreprocessor
from .trained_input import check_trained_input

__all__ = [
    'FeatureDifferenceInput',
    'FeatureInput',
    'OpticalFlowInput',
    'RGBInput',
    'TADDataPreprocessor',
    'TemporalGradientInput',
    'check_trained_input',
]
