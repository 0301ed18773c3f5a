"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of the real data sets: ``MMTAD_SHARED_DATA``, or ``../shared/data``."""
    folder = Path(os.environ.get('MMTAD_SHARED_DATA', ROOT.parent / 'shared' / 'data'))
    if not folder.is_dir():
        pytest.skip(f'real data not found at {folder}; set MMTAD_SHARED_DATA to its folder')
    return folder
