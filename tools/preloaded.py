"""What trainings and tests import, for the process that they are forked from.

Nothing where there is a GPU: MMEngine asks CUDA for its devices on import, and a process that did
so cannot hand CUDA on to its forks.
"""

import contextlib

import torch

if torch.cuda.device_count() == 0:
    # An import that fails does so again in the script, whose log tells why.
    with contextlib.suppress(Exception):
        import torch._dynamo  # the first optimizer needs it

        import tools._cli  # noqa: F401
