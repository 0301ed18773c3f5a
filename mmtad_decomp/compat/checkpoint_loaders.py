"""MMEngine's checkpoint loaders, by the rules of :mod:`mmtad_decomp.utils.checkpoint`.

They serve ``Runner.load_checkpoint``, ``resume`` and ``init_cfg=dict(type='Pretrained')``, for
files and for addresses.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import print_log
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from mmtad_decomp.utils import load_checkpoint


def load_from_local(filename: str, map_location: str | torch.device | None = None) -> dict:
    """MMEngine's loader of files, by the rules of :func:`load_checkpoint`."""
    return load_checkpoint(filename, map_location=map_location)


def load_from_http(
    filename: str,
    map_location: str | torch.device | None = None,
    model_dir: str | None = None,
    progress: bool = True,
) -> dict:
    """MMEngine's loader of addresses: download once, then as :func:`load_checkpoint`.

    Args:
        filename: The address.
        map_location: See :func:`torch.load`.
        model_dir: Folder of the downloads; default: ``checkpoints`` in ``torch.hub.get_dir()``.
        progress: Whether to show a bar.
    """
    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    path = folder / os.path.basename(urlparse(filename).path)
    if get_rank() == 0 and not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print_log(f'Downloading {filename} to {path}', logger='current')
        torch.hub.download_url_to_file(filename, str(path), progress=progress)
    barrier()
    return load_checkpoint(path, map_location=map_location)


def register_loaders() -> None:
    """Put the loaders in the place of MMEngine's, which may run what they load."""
    CheckpointLoader.register_scheme('', load_from_local, force=True)
    CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)
    # Its loaders of 'torchvision://', 'open-mmlab://' and 'mmcls://' call this one by name.
    mmengine_checkpoint.load_from_http = load_from_http
