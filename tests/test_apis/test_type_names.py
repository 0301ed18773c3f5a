"""Types of a config by a scope, by their module or as the class itself, as MMEngine takes them."""

import argparse
from pathlib import Path

import pytest
from mmaction.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmengine.config import Config

from mmtad_decomp.apis.network_differences import network_differences
from mmtad_decomp.apis.publishing import published_config
from mmtad_decomp.apis.window_pipeline import WindowPipeline
from tools.analysis_tools.branch_ap import use_branches
from tools.config_reading import frame_size

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'demo' / 'student.py'
SPELLINGS = dict(
    scope=lambda found: f'mmaction.{found.__name__}',
    module=lambda found: f'{found.__module__}.{found.__name__}',
    class_itself=lambda found: found,
)


def spelled(node, spell):
    """The config with other spellings of the types that are classes of the package."""
    if isinstance(node, (list, tuple)):
        return type(node)(spelled(item, spell) for item in node)
    if not isinstance(node, dict):
        return node
    node = {key: spelled(value, spell) for key, value in node.items()}
    registries = (MODELS, DATASETS, TRANSFORMS, METRICS)
    kinds = [r.module_dict.get(node.get('type')) for r in registries]
    found = next((k for k in kinds if k and k.__module__.startswith('mmtad_decomp')), None)
    return node if found is None else node | dict(type=spell(found))


@pytest.fixture(params=SPELLINGS)
def configs(request):
    """The config as it is and in another spelling."""
    plain = Config.fromfile(CONFIG)
    return plain, Config(spelled(plain.to_dict(), SPELLINGS[request.param]))


def test_the_detector_is_found(configs):
    plain, other = map(published_config, configs)
    assert set(other.model) == set(plain.model)
    assert other.model.shared_head is False
    assert not list(network_differences(plain.model, other.model, 'model'))


def test_the_branches_are_found(configs):
    _, config = configs
    use_branches(config, argparse.Namespace(split='test', with_teacher=True, dump_json=False))
    assert (config.model.type, config.model.student.type) == ('BranchDistiller', 'BranchDetector')


def test_the_windows_are_found(configs):
    plain, config = configs
    assert WindowPipeline(config).window == WindowPipeline(plain).window
    assert frame_size(config) == frame_size(plain)
