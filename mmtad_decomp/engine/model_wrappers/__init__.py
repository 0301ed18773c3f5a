"""Models shared by several processes."""

from .fully_sharded_model import FullyShardedModel

__all__ = ['FullyShardedModel']
