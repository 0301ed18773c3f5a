"""configs/README.md and the metafiles are what the configs say."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tools.analysis_tools import list_configs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def contents():
    return list_configs.generate(ROOT)


def test_committed_files_are_up_to_date(contents):
    stale = [
        str(path.relative_to(ROOT)) for path, text in contents.items() if path.read_text() != text
    ]
    assert not stale, f'{stale}: run python tools/analysis_tools/list_configs.py'


def test_every_config_has_a_row_and_a_model(contents):
    readme = contents[ROOT / 'configs' / 'README.md']
    models = []
    for path, text in contents.items():
        if path.suffix == '.yml':
            models += [model['Config'] for model in yaml.safe_load(text)['Models']]
    folders = (*list_configs.KINDS, 'mixin')
    files = [p for folder in folders for p in (ROOT / 'configs' / folder).rglob('*.py')]
    for name in (file.relative_to(ROOT).as_posix() for file in files):
        assert readme.count(f'({name.removeprefix("configs/")})') == 1, name
        assert models.count(name) == ('mixin' not in name)


def test_a_row_is_a_system(contents):
    rows = contents[ROOT / 'configs' / 'README.md'].splitlines()

    def cells(name):
        (row,) = (row for row in rows if f'({name}.py)' in row)
        return row.strip('| ').split(' | ')

    name = 'actionformer_slowfast50_thumos'
    assert cells(f'baseline/{name}') == [
        'ActionFormer',
        'SlowFast50',
        f'[53.8](baseline/{name}.py)',
        f'[config](teacher/{name}_tg.py)',
        f'[config](teacher/{name}_of.py)',
        f'TG: [config](conventional/{name}.py)<br>OF: [config](conventional/{name}_of.py)',
        f'TG: [55.0](decomp/{name}.py)<br>OF: [56.8](decomp/{name}_of.py)',
    ]
    run = cells('conventional/actionformer_tsm18narrow_grid_mini')[4]
    link = '[config](conventional/actionformer_tsm18narrow_grid_mini.py)'
    assert run.startswith(f'TG: {link} [**') and ' ± ' in run
    assert run.endswith('**](../docs/en/benchmarks/quickstart.md)')
    assert cells('baseline/tags_tsm18_thumos')[4] == '–'
    name = 'decomp/ablation/actionformer_tsm18_thumos_sum'
    assert cells(name)[:2] == ['sum', f'TG: [45.1]({name}.py)']


def test_links_lead_somewhere(contents):
    readme = contents[ROOT / 'configs' / 'README.md']
    links = {part.partition(')')[0] for part in readme.split('](')[1:]}
    assert links and all((ROOT / 'configs' / link).resolve().is_file() for link in links)


@pytest.fixture
def project(tmp_path):
    """A project with one config."""
    for folder in ('_base_', 'baseline'):
        shutil.copytree(ROOT / 'configs' / folder, tmp_path / 'configs' / folder)
    for file in (tmp_path / 'configs' / 'baseline').glob('*.py'):
        if file.stem != 'actionformer_tsm18_fir':
            file.unlink()
    (tmp_path / 'docs/en/benchmarks').mkdir(parents=True)
    (tmp_path / 'docs/en/benchmarks/fir.json').write_text('{"RGB": {"metrics": {"mAP": 0.5}}}')
    return tmp_path


@pytest.mark.parametrize(
    ('results', 'message'),
    [
        ('reported: {baseline/none: 1.0}\nruns: {}\n', 'no such configs: .*baseline/none'),
        ('reported: {}\nruns: {fir: {baseline/none: RGB}}\n', 'no such configs: .*baseline/none'),
        ('reported: {}\nruns: {fir: {baseline/actionformer_tsm18_fir: OF}}\n', "no row 'OF'"),
    ],
)
def test_numbers_of_nothing_are_refused(project, results, message):
    (project / 'configs' / 'results.yml').write_text(results)
    with pytest.raises(ValueError, match=message):
        list_configs.readme(project, list_configs.read_entries(project))


def test_runs_of_a_study_are_mean_and_deviation(tmp_path):
    scores = {f'rgb/seed{i}': dict(validation=dict(mAP=m)) for i, m in enumerate((0.4, 0.6))}
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(dict(study='a', scores=scores)))
    assert list_configs.read_scores(file) == {'rgb': [0.4, 0.6]}


def test_a_config_with_an_unknown_head_is_refused(project):
    file = project / 'configs' / 'baseline' / 'new.py'
    text = "_base_ = './actionformer_tsm18_fir.py'\nmodel = dict(head=dict(type='NewHead'))\n"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"new\.py: 'NewHead' has no name in .*list_configs"):
        list_configs.read_entries(project)


def test_check_reports_and_writes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(list_configs, 'ROOT', tmp_path)
    monkeypatch.setattr(list_configs, 'generate', lambda: {tmp_path / 'a': 'text'})
    assert list_configs.main(['--check']) == 1
    assert 'a is out of date' in capsys.readouterr().out and not (tmp_path / 'a').exists()
    assert list_configs.main([]) == 0 and (tmp_path / 'a').read_text() == 'text'
    assert list_configs.main(['--check']) == 0
