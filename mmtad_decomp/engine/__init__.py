"""What is hung on MMEngine's Runner: hooks and optimizer wrappers."""

from . import hooks, optim_wrappers

__all__ = ['hooks', 'optim_wrappers']
