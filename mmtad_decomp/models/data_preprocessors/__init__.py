"""Batches from the data loader to the model's device and input range."""

from .inputs import FeatureInput, RGBInput, TemporalGradientInput
from .tad_data_preprocessor import TADDataPreprocessor

__all__ = ['FeatureInput', 'RGBInput', 'TADDataPreprocessor', 'TemporalGradientInput']
