"""A check that all kinds of multi-head attention share."""

from __future__ import annotations


def check_heads(channels: int, num_heads: int) -> None:
    """Require that the heads divide the channels.

    Raises:
        ValueError: If they do not.
    """
    if channels % num_heads:
        raise ValueError(f'channels ({channels}) must be a multiple of num_heads={num_heads}')
