"""Types of a config by a scope, by their module or as the class itself, as MMEngine takes them."""

import argparse
from pathlib import Path

import mmengine.registry
import pytest
from mmaction.registry import DATASETS, METRICS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel

from mmtad_decomp.apis.network_differences import network_differences
from mmtad_decomp.apis.publishing import published_config
from mmtad_decomp.apis.window_pipeline import WindowPipeline
from mmtad_decomp.engine.hooks import OutputHealthHook
from tools._cli import distribute_over_cpus
from tools.analysis_tools import branch_parts
from tools.analysis_tools.branch_ap import use_branches
from tools.analysis_tools.list_configs import read_entry
from tools.config_reading import frame_size
from tools.model_converters.recognizer import find_encoder
from tools.studies.catalog import detection_metric, relevant_settings

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'demo' / 'student.py'
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
    found = mmengine.registry.MODELS.get  # without a default scope, as of such configs
    assert found(config.model.type) is branch_parts.BranchDistiller
    assert found(config.model.student.type) is branch_parts.BranchDetector
    metrics = {mmengine.registry.METRICS.get(e['type']) for e in config.test_evaluator}
    assert metrics == {branch_parts.BranchMetric}


def test_the_encoder_and_the_metric_are_found(configs):
    plain, config = configs
    assert find_encoder(config.model).keys() == find_encoder(plain.model).keys()
    assert detection_metric(config, 'row').keys() == detection_metric(plain, 'row').keys()


@pytest.mark.parametrize('spell', SPELLINGS.values(), ids=SPELLINGS)
def test_hooks_that_watch_change_no_result(spell):
    hook = dict(type=spell(OutputHealthHook))
    watched, plain = (Config(dict(model=dict(), custom_hooks=hooks)) for hooks in ([hook], []))
    assert relevant_settings(watched, False) == relevant_settings(plain, False)


@pytest.mark.parametrize(
    'kind', ['mmengine.MMDistributedDataParallel', MMDistributedDataParallel], ids=str
)
def test_a_wrapper_over_cpus_has_no_device_ids(kind):
    config = Config(dict(model_wrapper_cfg=dict(type=kind)))
    distribute_over_cpus(config)
    assert config.model_wrapper_cfg == dict(type=kind, device_ids=None)


@pytest.mark.parametrize('spell', SPELLINGS.values(), ids=SPELLINGS)
def test_the_table_of_configs_knows_the_parts(spell, monkeypatch):
    path = ROOT / 'configs' / 'decomp' / 'actionformer_tsm18_fir.py'
    expected = read_entry(ROOT, path)
    config = Config(spelled(Config.fromfile(path).to_dict(), spell))
    monkeypatch.setattr(Config, 'fromfile', lambda *_, **__: config)
    assert read_entry(ROOT, path) == expected


def test_the_windows_are_found(configs):
    plain, config = configs
    assert WindowPipeline(config).window == WindowPipeline(plain).window
    assert frame_size(config) == frame_size(plain)
