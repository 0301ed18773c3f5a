"""Extensions of MMEngine's Runner: hooks, loops, wrappers of models and of optimizers."""

from . import concise_runner, hooks, loops, model_wrappers, optim_wrappers

__all__ = ['concise_runner', 'hooks', 'loops', 'model_wrappers', 'optim_wrappers']
