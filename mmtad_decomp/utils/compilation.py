"""Functions that ``torch.compile`` leaves out of its graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

_Parameters = ParamSpec('_Parameters')
_Result = TypeVar('_Result')


def outside_of_graphs(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Leave a function out of the graphs of ``torch.compile``, such as a loop over samples.

    A graph of such a function holds for as many instances in each sample as there are in this
    batch, so nearly every batch would be compiled again. ``torch.compiler.disable`` does the same,
    but imports the compiler at once, which takes a second.
    """

    @functools.wraps(function)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return run
