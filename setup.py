"""Builds and installs mmtad_decomp, with its compiled operators where that is possible.

``MMTAD_WITH_OPS``: ``1`` makes a failure to build the operators an error, ``0`` leaves them out.
By default they are built where torch and a C++ compiler are, and plain PyTorch takes their place
where not. ``FORCE_CUDA=1`` builds the CUDA kernels without a GPU in sight.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools < 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmtad_decomp'

# What OpenMMLab's tools look for in `<package>/.mim` of an installed package.
MIM_FOLDERS = ('configs', 'demo', 'tools')
MIM_FILES = ('model-index.yml',)
MIM_NAMES = 'by_name'

# The CUDA kernels need sm_80. Wheels hold code for these, and PTX of the last for newer GPUs.
MIN_CAPABILITY = (8, 0)
WHEEL_CAPABILITIES = ((8, 0), (9, 0))
# torch's flags for nvcc forbid conversions between half types and float; the kernels need them.
NVCC_FLAGS = [
    '-O3',
    '--expt-relaxed-constexpr',
    '-U__CUDA_NO_HALF_OPERATORS__',
    '-U__CUDA_NO_HALF_CONVERSIONS__',
    '-U__CUDA_NO_HALF2_OPERATORS__',
    '-U__CUDA_NO_BFLOAT16_CONVERSIONS__',
]


def read_version() -> str:
    """Return ``__version__`` without importing the package, which needs its dependencies."""
    text = (ROOT / PACKAGE / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE).group(1)


def read_requirements(name: str) -> list[str]:
    """Return the requirements in ``requirements/{name}.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    requirements = (line.partition('#')[0].strip() for line in lines)
    return [requirement for requirement in requirements if requirement]


def write_names(configs: Path) -> None:
    """Give every config a file of its name in ``model-index.yml``: its folders, then its own.

    ``mim train PACKAGE CONFIG`` looks for a file by its name alone, whatever its folder.
    """
    paths = [file.relative_to(configs) for file in sorted(configs.rglob('*.py'))]
    names = configs / MIM_NAMES
    names.mkdir()
    for path in paths:
        if path.parts[0] not in ('_base_', 'studies'):
            name = '_'.join([*reversed(path.parent.parts), path.name])
            work_dir = f'work_dirs/{path.parent.name}/{path.stem}'
            lines = f'_base_ = {f"../{path.as_posix()}"!r}\nwork_dir = {work_dir!r}\n'
            (names / name).write_text(lines, encoding='utf-8')


class BuildWithMim(build_py):
    """Adds configs and tools to a wheel as ``mmtad_decomp/.mim``.

    So ``_base_ = 'mmtad_decomp::decomp/...'`` and ``mim`` find them in an installed package. An
    editable install has them in the project's folder and gets no copy.
    """

    def run(self) -> None:
        """Build the package, then copy configs and tools beside its modules."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / PACKAGE / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        skip = shutil.ignore_patterns('__pycache__', '*.py[cod]')
        for folder in MIM_FOLDERS:
            shutil.copytree(ROOT / folder, target / folder, ignore=skip)
        for file in MIM_FILES:
            shutil.copy2(ROOT / file, target / file)
        write_names(target / 'configs')


def bill_of_materials() -> str:
    """Return a CycloneDX 1.6 document (JSON): the package and the packages that it asks for.

    Raises:
        ImportError: If cyclonedx-python-lib is not in the build environment.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    def component(name: str, **fields) -> Component:
        purl = PackageURL('pypi', name=name, version=fields.get('version'))
        kind = ComponentType.LIBRARY
        return Component(name=name, type=kind, purl=purl, bom_ref=name, **fields)

    version = read_version()
    package = component(PACKAGE, version=version, licenses=[DisjunctiveLicense(id='Apache-2.0')])
    needed = [
        component(re.match(r'[\w.-]+', requirement).group(), description=requirement)
        for requirement in read_requirements('runtime')
    ]
    bom = Bom(components=needed)
    bom.metadata.component = package
    bom.register_dependency(package, needed)
    return JsonV1Dot6(bom).output_as_string(indent=1)


class WheelWithBill(bdist_wheel):
    """Adds a bill of materials to a wheel, where PEP 770 looks for it: ``.dist-info/sboms``."""

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        """Make the metadata, then add the bill."""
        super().egg2dist(egginfo_path, distinfo_path)
        try:
            bill = bill_of_materials()
        except ImportError:
            print('The wheel has no bill of materials: pip install cyclonedx-python-lib first.')
            return
        target = Path(distinfo_path, 'sboms', f'{PACKAGE}.cdx.json')
        target.parent.mkdir()
        target.write_text(bill, encoding='utf-8')


def cuda_architectures(capabilities: list[tuple[int, int]]) -> str:
    """Return TORCH_CUDA_ARCH_LIST: what wheels hold, and this machine's GPUs.

    Args:
        capabilities: Compute capabilities of the GPUs, (8, 6) for sm_86. Those below
            ``MIN_CAPABILITY`` are left out: the operators run in plain PyTorch there.

    Returns:
        Architectures in ascending order. The last one comes as PTX too, for newer GPUs.
    """
    supported = {capability for capability in capabilities if capability >= MIN_CAPABILITY}
    listed = sorted(supported | set(WHEEL_CAPABILITIES))
    return ';'.join(f'{major}.{minor}' for major, minor in listed) + '+PTX'


def local_capabilities() -> list[tuple[int, int]]:
    """Return the compute capabilities of this machine's GPUs that the CUDA kernels support."""
    import torch

    devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    capabilities = [torch.cuda.get_device_capability(index) for index in devices]
    return [capability for capability in capabilities if capability >= MIN_CAPABILITY]


def _by_time_to_compile(source: str) -> tuple[int, str]:
    """Units that take long first, in order, so that no core waits for one that began last."""
    longest = ('.cu', 'operators.cpp')
    place = next((i for i, ending in enumerate(longest) if source.endswith(ending)), len(longest))
    return place, source


def make_extension(with_cuda: bool):
    """Return the operators' extension, for the CPU alone or for CUDA too."""
    from torch.utils import cpp_extension

    csrc = Path(PACKAGE, 'ops', 'csrc')
    unit = (csrc / 'operators.cpp').read_text(encoding='utf-8')
    included = {csrc / name for name in re.findall(r'#include "(.+\.cpp)"', unit)}
    sources = [*csrc.glob('*.cpp'), *csrc.glob('cpu/*.cpp')]
    sources = [source for source in sources if source not in included]
    flags = {'cxx': ['-O3', '-fopenmp', '-fvisibility=hidden', '-g0', '-Wno-psabi']}
    # Headers of torch that offer a choice include the operators that they use, not all of them.
    build, macros = cpp_extension.CppExtension, [('AT_PER_OPERATOR_HEADERS', None)]
    if with_cuda:
        build = cpp_extension.CUDAExtension
        macros.append(('MMTAD_WITH_CUDA', None))
        sources += csrc.glob('cuda/*.cu')
        flags['nvcc'] = list(NVCC_FLAGS)
    return build(
        name=f'{PACKAGE}._ext',
        sources=sorted(map(str, sources)),
        include_dirs=[str(ROOT / csrc)],
        depends=sorted(map(str, {*csrc.rglob('*.h'), *csrc.rglob('*.cuh'), *included})),
        define_macros=macros,
        extra_compile_args=flags,
        extra_link_args=['-fopenmp'],
    )


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_build_command(required: bool, cuda_required: bool) -> type:
    """Return the ``build_ext`` command, which does with less where it may.

    Args:
        required: A failure to build the operators is an error.
        cuda_required: A failure to build the CUDA operators is an error.
    """
    from torch.utils import cpp_extension

    class BuildOps(cpp_extension.BuildExtension):
        """Builds the operators; without CUDA or not at all where that fails and is allowed."""

        def build_extensions(self) -> None:
            # torch compiles two files more than there are cores: the longest would share its core.
            os.environ.setdefault('MAX_JOBS', str(available_cores()))
            if any(source.endswith('.cu') for ext in self.extensions for source in ext.sources):
                try:
                    return super().build_extensions()
                except Exception as error:
                    if cuda_required:
                        raise
                    print(
                        f'The operators are built for the CPU only: {_reason(error)} '
                        'FORCE_CUDA=1 makes this an error.'
                    )
                    vars(self.extensions[0]).update(vars(make_extension(with_cuda=False)))
            try:
                super().build_extensions()
            except Exception as error:
                if required:
                    raise
                print(
                    f'The operators are not built: {_reason(error)} Plain PyTorch takes their '
                    'place. MMTAD_WITH_OPS=1 makes this an error.'
                )
                self.extensions = []

        def swig_sources(self, sources: list, extension) -> list:
            # The last step before the compiler; the one before sorts by name.
            return sorted(super().swig_sources(sources, extension), key=_by_time_to_compile)

        def get_ext_filename(self, fullname: str) -> str:
            # Loaded by torch.ops.load_library, so one name for every Python.
            return str(Path(*fullname.split('.')).with_suffix('.so'))

    return BuildOps


def _reason(error: Exception) -> str:
    """Return one sentence; torch keeps the CUDA versions beside its message's template."""
    message = str(error.args[0]) if error.args else repr(error)
    if len(error.args) > 1 and message.count('%s') == len(error.args) - 1:
        message %= error.args[1:]
    return ' '.join(message.split()).rstrip('.') + '.'


def ops_extension() -> tuple[list, dict]:
    """Return the operators' extension and its build command, or nothing where torch is missing."""
    wanted, forced = os.environ.get('MMTAD_WITH_OPS'), os.environ.get('FORCE_CUDA') == '1'
    required = wanted == '1' or forced
    # pip asks for metadata twice before it builds; importing torch takes seconds each time.
    if wanted == '0' or {'egg_info', 'dist_info'} & set(sys.argv):
        return [], {}
    try:
        import torch
        from torch.utils import cpp_extension
    except ImportError:
        if required:
            raise
        print('torch is not in the build environment: the operators are left out')
        return [], {}

    capabilities = local_capabilities()
    has_toolkit = torch.version.cuda is not None and cpp_extension.CUDA_HOME is not None
    with_cuda = forced or (has_toolkit and len(capabilities) > 0)
    if capabilities and not with_cuda:
        print('The operators are built for the CPU only: no CUDA toolkit (nvcc) was found.')
    if with_cuda:
        os.environ.setdefault('TORCH_CUDA_ARCH_LIST', cuda_architectures(capabilities))
    return [make_extension(with_cuda)], {'build_ext': make_build_command(required, forced)}


def main() -> None:
    """Build or install the package."""
    ext_modules, build_commands = ops_extension()
    setup(
        name=PACKAGE,
        version=read_version(),
        description='Decomposed cross-modal distillation for RGB-based temporal action detection',
        long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        author='The mmtad_decomp authors',
        license='Apache-2.0',
        license_files=['LICENSE'],
        keywords='computer vision, temporal action detection, knowledge distillation',
        classifiers=[
            'Development Status :: 4 - Beta',
            'Operating System :: OS Independent',
            'Programming Language :: Python :: 3',
            'Topic :: Scientific/Engineering :: Artificial Intelligence',
        ],
        packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
        py_modules=['mmtad'],  # the command
        include_package_data=True,
        python_requires='>=3.10',
        install_requires=read_requirements('runtime'),
        entry_points={'console_scripts': ['mmtad = mmtad:main']},
        extras_require={
            name: read_requirements(group)
            for name, group in (
                ('mim', 'mminstall'),
                ('optional', 'optional'),
                ('tests', 'tests'),
                ('docs', 'docs'),
                ('deployment', 'deployment'),
            )
        },
        ext_modules=ext_modules,
        cmdclass={'build_py': BuildWithMim, 'bdist_wheel': WheelWithBill, **build_commands},
        zip_safe=False,
    )


if __name__ == '__main__':
    main()
