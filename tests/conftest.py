"""Fixtures for all tests."""

from __future__ import annotations

import copy
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def pytest_configure() -> None:
    """Ctrl-C reaches tests that send it, also where a shell runs them as a background job."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker waits for one that another began last."""
    items.sort(key=lambda item: item.get_closest_marker('slow') is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test, and its fixtures, find MMAction2's default scope, whatever ran before."""
    init_default_scope('mmaction')


@pytest.fixture(scope='session', autouse=True)
def configs_parsed_once() -> Iterator[None]:
    """Remember the content of the project's configs, which have a dozen bases each.

    MMEngine writes each base to a file of its own to read it, a third of a second for a config.
    """
    parse, folder, known = Config._file2dict, f'{ROOT / "configs"}{os.sep}', {}

    def recall(filename: str | Path, *options: object, **more: object) -> tuple:
        key = os.path.abspath(filename), options, tuple(more.items())
        if not key[0].startswith(folder):
            return parse(filename, *options, **more)
        if key not in known:
            known[key] = parse(filename, *options, **more)
            if '{{$' in known[key][1]:  # depends on environment variables
                return known.pop(key)
        return copy.deepcopy(known[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, '_file2dict', staticmethod(recall))
        yield


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of the real data sets: ``MMTAD_SHARED_DATA``, or ``../shared/data``."""
    folder = Path(os.environ.get('MMTAD_SHARED_DATA', ROOT.parent / 'shared' / 'data'))
    if not folder.is_dir():
        pytest.skip(f'real data not found at {folder}; set MMTAD_SHARED_DATA to its folder')
    return folder
