"""A detector of one's own, in a registry of one's own, that knows nothing of mmtad_decomp."""

from .dataset import GeneratedSteps
from .detector import MODELS, ActionnessNet
from .metric import StepAccuracy

__all__ = ['MODELS', 'ActionnessNet', 'GeneratedSteps', 'StepAccuracy']
