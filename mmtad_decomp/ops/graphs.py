"""Whether a graph is recorded, so that choices by the number of steps can be left out of it."""

from __future__ import annotations

import torch

CAN_EXPORT = hasattr(torch.compiler, 'is_exporting')
"""Whether PyTorch says when it exports, as it does from 2.7 on; models need that to export."""


def in_torch_export() -> bool:
    """Whether torch.export records a graph."""
    return CAN_EXPORT and torch.compiler.is_exporting()


def is_exported() -> bool:
    """Whether one graph must do for every length: torch.export and torch.jit.trace."""
    return in_torch_export() or torch.jit.is_tracing()


def records_a_graph() -> bool:
    """Whether a choice by the number of steps would cost torch.compile another graph, too."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
