"""Version checks, patches of the installed stack, packaging and the files around the code."""

import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.dist import init_dist
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import mmtad_decomp
from mmtad_decomp import compat

ROOT = Path(__file__).resolve().parents[1]
DEMO_FILES = {f'demo/{name}' for name in ('clip.mp4', 'metafile.yml', 'student.pth', 'student.py')}
PACKAGE_FOLDERS = ('configs', 'demo', 'mmtad_decomp', 'requirements', 'tests', 'tools')


def pretend_installed(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Make distributions look installed in these versions, or absent where it is None."""
    good = {
        'torch': '2.13.0+cpu',
        'mmengine': '0.10.7',
        'mmcv': None,
        'mmcv-lite': '2.1.0',
        'mmcv-full': None,
        'mmaction2': '1.2.0',
    }
    installed = good | {name.replace('_', '-'): version for name, version in versions.items()}

    def version(name: str) -> str:
        if installed[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, 'version', version)


@pytest.mark.parametrize(
    'versions',
    [
        {},
        {'mmcv': '2.1.0', 'mmcv_lite': None},
        {'torch': '2.6.0'},
        {'torch': '2.14.0a0+git1234567'},
        {'mmengine': '0.10.0'},
        {'mmcv_lite': '2.0.0'},
    ],
)
def test_working_versions_pass(monkeypatch, versions):
    pretend_installed(monkeypatch, **versions)
    compat.check_versions()


@pytest.mark.parametrize(
    ('versions', 'installed', 'wanted', 'command'),
    [
        ({'torch': '1.13.1'}, 'torch 1.13.1', 'torch >=2.6', 'pip install "torch>=2.6"'),
        (
            {'mmengine': '0.9.1'},
            'mmengine 0.9.1',
            'mmengine >=0.10,<1.0',
            'pip install "mmengine>=0.10,<1.0"',
        ),
        (
            {'mmengine': '1.0.0'},
            'mmengine 1.0.0',
            'mmengine >=0.10,<1.0',
            'pip install "mmengine>=0.10,<1.0"',
        ),
        (
            {'mmcv_lite': '2.2.0'},
            'mmcv-lite 2.2.0',
            'mmcv-lite >=2.0.0,<2.2.0',
            'pip install "mmcv-lite>=2.0.0,<2.2.0"',
        ),
        (
            {'mmcv': '2.2.0', 'mmcv_lite': None},
            'mmcv 2.2.0',
            'mmcv >=2.0.0,<2.2.0',
            'pip uninstall -y mmcv && pip install "mmcv-lite>=2.0.0,<2.2.0"',
        ),
        (
            {'mmcv_full': '1.7.1', 'mmcv_lite': None},
            'mmcv-full 1.7.1',
            'mmcv-full >=2.0.0,<2.2.0',
            'pip uninstall -y mmcv-full && pip install "mmcv-lite>=2.0.0,<2.2.0"',
        ),
        (
            {'mmaction2': '0.24.1'},
            'mmaction2 0.24.1',
            'mmaction2 >=1.2.0,<1.3',
            'pip install "mmaction2>=1.2.0,<1.3"',
        ),
    ],
)
def test_wrong_version_names_installed_wanted_and_command(
    monkeypatch, versions, installed, wanted, command
):
    pretend_installed(monkeypatch, **versions)
    with pytest.raises(RuntimeError) as error:
        compat.check_versions()
    assert f'{installed} is installed' in str(error.value)
    assert wanted in str(error.value)
    assert str(error.value).endswith(command)


@pytest.mark.parametrize('name', ['torch', 'mmengine', 'mmcv_lite', 'mmaction2'])
def test_missing_distribution_names_command(monkeypatch, name):
    pretend_installed(monkeypatch, **{name: None})
    distribution = name.replace('_', '-')
    with pytest.raises(RuntimeError, match=f'^{distribution} is not installed.*pip install'):
        compat.check_versions()


def test_two_distributions_of_mmcv_are_refused(monkeypatch):
    pretend_installed(monkeypatch, mmcv='2.1.0', mmcv_lite='2.1.0')
    with pytest.raises(
        RuntimeError, match=r'mmcv 2\.1\.0 and mmcv-lite 2\.1\.0 are installed'
    ) as error:
        compat.check_versions()
    assert 'pip uninstall -y mmcv mmcv-lite && pip install "mmcv-lite' in str(error.value)


def test_patches_may_run_twice():
    before = {name: sys.modules[name] for name in sys.modules if '.localizers.drn' in name}
    compat.apply()
    compat.apply()
    assert np.trapz([1.0, 3.0], dx=2.0) == 4.0
    assert np.isinf(np.Inf) and np.isnan(np.NAN)
    assert np.in1d([1, 2], [2]).tolist() == [False, True]
    assert {name: sys.modules[name] for name in before} == before


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_every_launcher_works_without_gpus(launcher, monkeypatch):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    variables = dict(
        pytorch=dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0'),
        slurm=dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_NODELIST='n1', SLURM_LOCALID='0'),
        mpi=dict.fromkeys(('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_RANK'), '0')
        | dict(OMPI_COMM_WORLD_SIZE='1'),
    )
    # MMEngine sets these as well, and monkeypatch takes back what it knows of.
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, '0')
    for name, value in {**address, **variables[launcher]}.items():
        monkeypatch.setenv(name, value)
    init_dist(launcher, backend='gloo')
    try:
        assert torch.distributed.get_world_size() == 1
    finally:
        torch.distributed.destroy_process_group()


def test_mmaction_models_import_and_missing_drn_says_so():
    import mmaction.models
    from mmaction.models.localizers.drn.drn import DRN

    assert mmaction.models is not None
    if DRN.__module__ == 'mmtad_decomp.compat.patches':
        with pytest.raises(ImportError, match='DRN is not part of'):
            DRN()


def test_imports_beside_transformers_5(tmp_path):
    """Transformers 5 has no `apply_chunking_to_forward`, which MMAction2's VindLU imports."""
    for file in ('transformers/__init__.py', 'transformers/modeling_utils.py', 'timm/__init__.py'):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text('')
    metadata = tmp_path / 'transformers-5.17.0.dist-info' / 'METADATA'
    metadata.parent.mkdir()
    metadata.write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 5.17.0\n')
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = (sys.executable, '-c', 'import mmtad_decomp, mmaction.models')
    result = run(*command, cwd=tmp_path, PYTHONPATH=path)
    assert result.returncode == 0, result.stdout


def test_import_leaves_slow_modules_out(tmp_path):
    """The compiler, most of SciPy and matplotlib take seconds to import, and few runs use them."""
    code = (
        'import sys, mmtad_decomp\n'
        "slow = {'torch._dynamo', 'scipy.stats', 'scipy.optimize', 'matplotlib'}\n"
        'assert not slow & set(sys.modules)\n'
        'from mmtad_decomp.visualization import draw_timeline, precision_recall\n'
        'assert draw_timeline.__module__ == "mmtad_decomp.visualization.timeline"\n'
        'from mmaction.datasets.transforms.pose_transforms import get_mode\n'
        'assert get_mode([3, 1, 3])[-1][0] == 2\n'
        'from scipy.stats import mode, norm\n'
        'assert mode.__module__ == "scipy.stats._stats_py" and norm.cdf(0) == 0.5\n'
    )
    result = run(sys.executable, '-c', code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stdout


def test_a_config_that_was_written_as_yaml_loads(tmp_path):
    content = dict(classes=('a', 'b'), tious={'0.3:0.5': (0.3, 0.5)}, parts=[(1, (2, [3]))])
    file = tmp_path / 'config.yaml'
    Config(content).dump(file)
    assert Config.fromfile(file).to_dict() == content


def test_yaml_runs_no_code(tmp_path):
    file = tmp_path / 'config.yaml'
    file.write_text('x: !!python/object/apply:os.mkdir [made]')
    with pytest.raises(yaml.constructor.ConstructorError):
        Config.fromfile(file)


def test_base_config_of_mmaction_loads(tmp_path):
    base = 'mmaction::localization/bmn/bmn_2xb8-400x100-9e_activitynet-feature.py'
    config = tmp_path / 'child.py'
    config.write_text(f"_base_ = ['{base}']\nmodel = dict(temporal_dim=64)\n")
    model = Config.fromfile(str(config)).model
    assert model.type == 'BMN'
    assert model.temporal_dim == 64


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a command and return its result, output and errors in one text."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of what belongs to the package, so that a build leaves nothing in the project."""
    target = tmp_path_factory.mktemp('package') / 'source'
    target.mkdir()
    skip = shutil.ignore_patterns('__pycache__', '*.so')
    for path in ROOT.iterdir():
        if path.name in PACKAGE_FOLDERS:
            shutil.copytree(path, target / path.name, ignore=skip)
        elif path.is_file():
            shutil.copy2(path, target)
    return target


@pytest.fixture(scope='module')
def wheel(source) -> Path:
    """A wheel of the package, without the compiled operators."""
    options = ('--no-build-isolation', '--no-deps', '--no-index', '-w', '../wheels')
    command = (sys.executable, '-m', 'pip', 'wheel', '.', *options)
    result = run(*command, cwd=source, MMTAD_WITH_OPS='0')
    assert result.returncode == 0, result.stdout
    (built,) = (source.parent / 'wheels').glob('mmtad_decomp-*.whl')
    return built


def config_names(folder: Path) -> set[str]:
    """Paths of all config files, relative to the folder that has ``configs``."""
    files = (folder / 'configs').rglob('*')
    return {
        file.relative_to(folder).as_posix() for file in files if file.suffix in ('.py', '.yml')
    }


def test_wheel_contains_configs_tools_and_requirements(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith('/METADATA')))
    wanted = config_names(ROOT) | {'model-index.yml', 'tools/env.sh', 'tools/run_tests.sh'}
    wanted |= DEMO_FILES
    assert {f'mmtad_decomp/.mim/{name}' for name in wanted} <= names
    assert not [name for name in names if name.endswith('.pyc') or name.startswith('tests')]
    assert f'Version: {mmtad_decomp.__version__}\n' in metadata.decode()
    assert 'Requires-Dist: torch>=2.6\n' in metadata.decode()


def test_installed_wheel_serves_its_configs_as_bases(wheel, tmp_path):
    site = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    base = site / 'mmtad_decomp' / '.mim' / 'configs' / 'decomp' / 'probe.py'
    base.write_text("model = dict(type='BMN', temporal_dim=100)\n")
    config = tmp_path / 'child.py'
    config.write_text("_base_ = ['mmtad_decomp::decomp/probe.py']\n")
    code = (
        'import sys; import mmtad_decomp; from mmengine.config import Config; '
        'print(mmtad_decomp.__file__, Config.fromfile(sys.argv[1]).model)'
    )
    result = run(sys.executable, '-c', code, str(config), cwd=tmp_path, PYTHONPATH=str(site))
    assert result.returncode == 0, result.stdout
    assert str(site / 'mmtad_decomp' / '__init__.py') in result.stdout
    assert "{'type': 'BMN', 'temporal_dim': 100, '_scope_': 'mmaction'}" in result.stdout


@pytest.fixture
def installed(wheel, tmp_path, monkeypatch) -> tuple[Path, dict[str, str], list[str]]:
    """A folder with videos, an environment that finds the wheel, options of a tiny training."""
    monkeypatch.syspath_prepend(ROOT / 'tests' / 'test_tools')
    from tiny_training import options, write_videos

    site, place = tmp_path / 'site', tmp_path / 'place'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    place.mkdir()
    write_videos(place / 'data')
    overrides = [part for part in options(Path('data')) if 'experiment_name' not in part]
    return place, dict(PYTHONPATH=str(site), OMP_NUM_THREADS='1'), overrides


@pytest.mark.slow
def test_installed_wheel_trains_and_infers_outside_the_source_tree(installed):
    place, environment, overrides = installed
    mmtad = (sys.executable, '-W', 'ignore', '-m', 'mmtad')
    config = 'configs/baseline/actionformer_tsm18_synthetic.py'
    result = run(*mmtad, 'train', config, *overrides, cwd=place, **environment)
    assert result.returncode == 0, result.stdout
    work_dir = 'work_dirs/baseline/actionformer_tsm18_synthetic'
    assert (place / work_dir / 'last_checkpoint').is_file()
    video = 'data/videos/v2.avi'
    arguments = ('infer', video, '--model', work_dir, '--format', 'json', '--quiet')
    result = run(*mmtad, *arguments, cwd=place, **environment)
    assert result.returncode == 0 and 'v2.avi (2.4 s)' in result.stdout, result.stdout
    assert (place / 'detections' / 'detections.json').is_file()


def test_mim_finds_every_model_of_the_index_by_a_name_of_its_own(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path, [n for n in archive.namelist() if '/.mim/' in n])
    root = tmp_path / 'mmtad_decomp' / '.mim'
    models = [
        model
        for metafile in mmengine.load(root / 'model-index.yml')['Import']
        for model in mmengine.load(ROOT / metafile)['Models']
        if model['Config'].startswith('configs/')
    ]
    assert len(models) > 50
    for model in models:
        (found,) = root.rglob(f'{model["Name"]}.py')
        lines = dict(line.split(' = ') for line in found.read_text().splitlines())
        base = (found.parent / lines['_base_'].strip("'")).resolve()
        assert base == (root / model['Config']).resolve()
        folder, stem = base.parent.name, base.stem
        assert lines['work_dir'] == f"'work_dirs/{folder}/{stem}'"
    name = 'decomp_actionformer_tsm18_fir'
    (found,) = root.rglob(f'{name}.py')
    loaded, source = (
        Config.fromfile(file)
        for file in (found, ROOT / 'configs/decomp/actionformer_tsm18_fir.py')
    )
    assert loaded.model == source.model and loaded.train_dataloader == source.train_dataloader


@pytest.mark.slow
def test_mim_trains_tests_and_runs_tools(installed):
    pytest.importorskip('mim', reason='pip install openmim')
    place, environment, overrides = installed
    mim = (sys.executable, '-W', 'ignore', '-m', 'mim')
    config = ('mmtad_decomp', 'baseline_actionformer_tsm18_synthetic.py', '--gpus', '0')
    result = run(*mim, 'train', *config, *overrides, cwd=place, **environment)
    assert result.returncode == 0, result.stdout
    weights = 'work_dirs/baseline/actionformer_tsm18_synthetic/epoch_1.pth'
    arguments = ('--checkpoint', weights, *overrides)
    result = run(*mim, 'test', *config, *arguments, cwd=place, **environment)
    assert result.returncode == 0 and 'mAP' in result.stdout, result.stdout
    result = run(*mim, 'run', 'mmtad_decomp', 'infer', '--demo', cwd=place, **environment)
    assert result.returncode == 0 and 'clip.mp4 (3.0 s)' in result.stdout, result.stdout


def test_the_wheel_installs_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith('entry_points.txt'))
        assert 'mmtad = mmtad:main' in archive.read(name).decode()
        assert 'mmtad.py' in archive.namelist()


def test_the_wheel_has_a_bill_of_materials(wheel):
    pytest.importorskip('cyclonedx', reason='needs cyclonedx-python-lib')
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if '.dist-info/sboms/' in n)
        bill = json.loads(archive.read(name))
    assert bill['bomFormat'] == 'CycloneDX' and name.endswith('mmtad_decomp.cdx.json')
    assert bill['metadata']['component']['version'] == mmtad_decomp.__version__
    needed = {c['name']: c['description'] for c in bill['components']}
    assert needed['torch'] == 'torch>=2.6'
    declared = importlib.metadata.requires('mmtad_decomp')
    assert set(needed) == {Requirement(r).name for r in declared if 'extra' not in r}


def test_sdist_contains_what_a_build_needs(source):
    result = run(sys.executable, 'setup.py', '-q', 'sdist', '-d', '../sdist', cwd=source)
    assert result.returncode == 0, result.stdout
    (built,) = (source.parent / 'sdist').glob('mmtad_decomp-*.tar.gz')
    with tarfile.open(built) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    wanted = config_names(ROOT) | {'model-index.yml', 'LICENSE', 'README.md', 'tools/env.sh'}
    wanted |= DEMO_FILES
    wanted |= {f'requirements/{file.name}' for file in (ROOT / 'requirements').glob('*.txt')}
    csrc = ROOT / 'mmtad_decomp' / 'ops' / 'csrc'
    wanted |= {file.relative_to(ROOT).as_posix() for file in csrc.rglob('*.*')}
    assert wanted <= names


def read_requirements(name: str) -> dict[str, SpecifierSet]:
    """Requirements of one file as name and version range."""
    result = {}
    for line in (ROOT / 'requirements' / name).read_text().splitlines():
        line = line.partition('#')[0].strip()
        if line:
            package, versions = re.fullmatch(r'([\w.-]+)(.*)', line).groups()
            result[package] = SpecifierSet(versions)
    return result


@pytest.mark.parametrize('name', ['constraints.txt', 'constraints-numpy1.txt'])
def test_constraints_satisfy_requirements_and_version_checks(name):
    constraints = read_requirements(name)
    wanted = read_requirements('mminstall.txt') | read_requirements('runtime.txt')
    checked = {name: SpecifierSet(range_) for name, range_ in compat.REQUIRED_VERSIONS.items()}
    for package, versions in (*wanted.items(), *checked.items()):
        pin = str(constraints.get(package, '')).removeprefix('==')
        if pin[:1].isdigit():
            assert versions.contains(pin), f'{name}: {package} {pin} is not {versions}'
    assert constraints['opencv-python'] == constraints['opencv-contrib-python']
    assert str(constraints['torch']).startswith('==')


def test_requirements_and_version_checks_agree():
    for name in ('mminstall.txt', 'runtime.txt'):
        for package, versions in read_requirements(name).items():
            checked = compat.REQUIRED_VERSIONS.get(package.removesuffix('-lite'))
            assert checked is None or versions == SpecifierSet(checked), f'{name}: {package}'


def test_pre_commit_and_tests_use_one_ruff_and_one_mypy():
    pin = f'ruff{read_requirements("tests.txt")["ruff"]}'
    assert pin.startswith('ruff==')
    config = mmengine.load(ROOT / '.pre-commit-config.yaml')
    for hook in config['repos'][0]['hooks']:
        assert hook['additional_dependencies'] == [pin]
    (hook,) = config['repos'][1]['hooks']
    pin = f'mypy{read_requirements("tests.txt")["mypy"]}'
    assert hook['additional_dependencies'] == [pin] and pin.startswith('mypy==')


def test_pre_commit_checks_white_space_markdown_and_cpp():
    config = mmengine.load(ROOT / '.pre-commit-config.yaml')
    hooks = {hook['id']: hook for repo in config['repos'] for hook in repo['hooks']}
    assert {'trailing-whitespace', 'end-of-file', 'markdown', 'clang-format'} <= set(hooks)
    assert all('==' in pin for hook in hooks.values() for pin in hook['additional_dependencies'])
    assert hooks['clang-format']['types_or'] == ['c++', 'cuda']


def test_text_has_no_white_space_at_the_end_of_lines_and_one_width_in_cpp():
    listing = run('git', 'ls-files', '-z', cwd=ROOT)
    if listing.returncode != 0:
        pytest.skip('not a git checkout')
    kinds = ('.py', '.md', '.sh', '.toml', '.yaml', '.yml', '.cpp', '.h', '.cu', '.cuh')
    wrong = []
    for name in filter(None, listing.stdout.split('\0')):
        path = ROOT / name
        if path.suffix not in kinds or not path.is_file():
            continue
        text = path.read_text(encoding='utf-8')
        lines = text.split('\n')
        wrong += [f'{name}:{i}' for i, line in enumerate(lines, 1) if line != line.rstrip()]
        wrong += [name] if text and not text.endswith('\n') else []
        if path.suffix in ('.cpp', '.h', '.cu', '.cuh'):
            wrong += [f'{name}:{i}: wide' for i, line in enumerate(lines, 1) if len(line) > 120]
    assert not wrong


def test_sources_use_nothing_newer_than_the_oldest_python():
    """Ruff refuses syntax that Python 3.10 lacks, but not these names of its library."""
    modules = (
        r'hashlib\.file_digest|contextlib\.chdir|itertools\.batched|math\.(?:cbrt|exp2|sumprod)|'
        r'datetime\.UTC|inspect\.getmembers_static|operator\.call|sys\.exception\(|asyncio\.TaskGroup'
    )
    names = (
        r'tomllib|file_digest|chdir|batched|StrEnum|UTC|Self|LiteralString|Never|NotRequired|'
        r'Required|Unpack|assert_never|assert_type|override|reveal_type'
    )
    builtins = r'\b(?:Base)?ExceptionGroup\(|\.add_note\('
    pattern = re.compile(
        rf'\b(?:{modules})|^ *(?:from \w+ )?import (?:.*\W)?(?:{names})\b|{builtins}', re.MULTILINE
    )
    for line in ('hashlib.file_digest(f)', 'import tomllib', 'from typing import Any, Self'):
        assert pattern.search(line), line
    found = [
        f'{path.relative_to(ROOT)}: {match.group().strip()}'
        for folder in ('.', *PACKAGE_FOLDERS, 'projects')
        for path in (ROOT / folder).glob('*.py' if folder == '.' else '**/*.py')
        if path != Path(__file__).resolve()
        for match in pattern.finditer(path.read_text(encoding='utf-8'))
    ]
    assert not found


def ops_warning(file: str | None, tmp_path: Path) -> str:
    """What importing the operators prints where their library is ``file``, or missing."""
    package = tmp_path / 'mmtad_decomp'
    shutil.copytree(ROOT / 'mmtad_decomp', package, ignore=shutil.ignore_patterns('*.so'))
    if file is not None:
        (package / '_ext.so').write_bytes(file.encode())
    code = (
        'import torch; from mmtad_decomp.ops import DEVICES, local_attention; '
        'x = torch.randn(1, 2, 50, 4); '
        'print(set(DEVICES), local_attention(x, x, x, None, 5).shape)'
    )
    result = run(sys.executable, '-c', code, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stdout
    assert 'set() torch.Size([1, 2, 50, 4])' in result.stdout
    return result.stdout


def test_operators_that_are_not_built_give_one_warning(tmp_path):
    assert ops_warning(None, tmp_path).count('are not built. Plain PyTorch takes their place') == 1


def test_operators_that_do_not_load_give_one_warning(tmp_path):
    assert ops_warning('of another torch', tmp_path).count('_ext.so) do not load') == 1


def test_readme_and_ci_name_the_two_commands():
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert 'bash tools/quickstart.sh' in readme
    assert 'bash tools/run_tests.sh' in readme
    last_line = (ROOT / '.ci' / 'run').read_text().rstrip().splitlines()[-1]
    assert last_line == 'bash tools/run_tests.sh'


def test_model_index_names_existing_metafiles_and_configs():
    for metafile in mmengine.load(ROOT / 'model-index.yml')['Import']:
        content = mmengine.load(ROOT / metafile)
        collections = {collection['Name'] for collection in content['Collections']}
        for model in content['Models']:
            assert (ROOT / model['Config']).is_file(), f'{metafile}: {model["Name"]}'
            assert model['In Collection'] in collections, f'{metafile}: {model["Name"]}'


def test_tracked_files_name_no_machine_and_no_registry():
    listing = run('git', 'ls-files', '-z', cwd=ROOT)
    if listing.returncode != 0:
        pytest.skip('not a git checkout')
    # A machine's path starts a path: not after a letter, a dot or a dash.
    paths = '|'.join('/' + name + '/' for name in ('work', 'root'))
    hosts = '|'.join(['pypi' + r'\.org', 'python' + 'hosted', 'whl' + '/cpu'])
    pattern = re.compile(rf'(?<![\w.-])(?:{paths})|{hosts}')
    found = []
    for name in filter(None, listing.stdout.split('\0')):
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_bytes().decode('utf-8', errors='ignore')
        found += [f'{name}: {match.group()}' for match in pattern.finditer(text)]
    assert not found
