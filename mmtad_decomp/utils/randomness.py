"""Random numbers that depend on a key, not on what was drawn before."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def seed_of(*key: int) -> int:
    """A seed that depends on all of a key.

    Args:
        key: Non-negative integers, such as a seed, an epoch and an index.
    """
    return int(np.random.SeedSequence(key).generate_state(1)[0])


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Draw from generators that a key seeds; afterwards they go on where they were.

    This concerns the global generators of Python, NumPy and PyTorch's CPU.

    Args:
        key: See :func:`seed_of`.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = seed_of(*key)
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
