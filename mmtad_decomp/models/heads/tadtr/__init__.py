"""TadTR: a transformer with deformable attention and a fixed number of queries."""

from .tadtr_head import TadTRHead

__all__ = ['TadTRHead']
