"""Operators on sequences: sliding-window attention, local attentive fusion, NMS of segments.

Compiled for the CPU and, where it was built for it, CUDA; in plain PyTorch elsewhere.
"""

from .extension import DEVICES, plain_pytorch
from .graphs import CAN_EXPORT, in_torch_export, is_exported, records_a_graph
from .local_attention import local_attention
from .local_attentive_fusion import local_attentive_fusion
from .nms import nms_1d, segment_voting, soft_nms_1d

__all__ = [
    'CAN_EXPORT',
    'DEVICES',
    'in_torch_export',
    'is_exported',
    'local_attention',
    'local_attentive_fusion',
    'nms_1d',
    'plain_pytorch',
    'records_a_graph',
    'segment_voting',
    'soft_nms_1d',
]
