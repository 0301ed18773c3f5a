"""Whether a graph is recorded, so that choices by the number of steps can be left out of it."""

from __future__ import annotations

import torch


def is_exported() -> bool:
    """Whether one graph must do for every length: torch.export and torch.jit.trace."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


def records_a_graph() -> bool:
    """Whether a choice by the number of steps would cost torch.compile another graph, too."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
