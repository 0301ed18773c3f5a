"""TAGS: class scores and a mask over the whole window for each step."""

from .global_mask_branch import GlobalMaskBranch
from .tags_head import TAGSHead

__all__ = ['GlobalMaskBranch', 'TAGSHead']
