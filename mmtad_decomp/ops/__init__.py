"""Operators on sequences: sliding-window attention and local attentive fusion."""

from .local_attention import local_attention
from .local_attentive_fusion import local_attentive_fusion

__all__ = ['local_attention', 'local_attentive_fusion']
