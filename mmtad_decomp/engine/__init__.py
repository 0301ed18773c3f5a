"""What is hung on MMEngine's Runner: hooks, loops and optimizer wrappers."""

from . import hooks, loops, optim_wrappers

__all__ = ['hooks', 'loops', 'optim_wrappers']
