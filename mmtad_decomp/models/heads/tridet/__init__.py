"""TriDet: boundaries as expectations over the neighbouring steps of a convolutional pyramid."""

from .tridet_head import TriDetHead
from .tridet_mimic_loss import TriDetMimicLoss
from .tridet_outputs import TriDetOutputs

__all__ = ['TriDetHead', 'TriDetMimicLoss', 'TriDetOutputs']
