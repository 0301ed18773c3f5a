"""Extensions of MMEngine's Runner: hooks, loops and optimizer wrappers."""

from . import concise_runner, hooks, loops, optim_wrappers

__all__ = ['concise_runner', 'hooks', 'loops', 'optim_wrappers']
