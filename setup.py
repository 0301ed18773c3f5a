"""Builds and installs mmtad_decomp, with its compiled operators where that is possible.

``MMTAD_WITH_OPS``: ``1`` makes a failure to build the operators an error, ``0`` leaves them out.
By default they are built where torch and a C++ compiler are, and plain PyTorch takes their place
where not. ``FORCE_CUDA=1`` builds the CUDA kernels without a GPU in sight.
"""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmtad_decomp'

# What OpenMMLab's tools look for in `<package>/.mim` of an installed package.
MIM_FOLDERS = ('configs', 'tools')
MIM_FILES = ('model-index.yml',)


def read_version() -> str:
    """Return ``__version__`` without importing the package, which needs its dependencies."""
    scope: dict = {}
    exec((ROOT / PACKAGE / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def read_requirements(name: str) -> list[str]:
    """Return the requirements in ``requirements/{name}.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    requirements = (line.partition('#')[0].strip() for line in lines)
    return [requirement for requirement in requirements if requirement]


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


def ops_extension() -> tuple[list, dict]:
    """Return the operators' extension and its build command, or nothing where torch is missing."""
    wanted = os.environ.get('MMTAD_WITH_OPS')
    required = wanted == '1' or os.environ.get('FORCE_CUDA') == '1'
    if wanted == '0':
        return [], {}
    try:
        import torch
        from torch.utils import cpp_extension
    except ImportError:
        if required:
            raise
        print('torch is not in the build environment: the operators are left out')
        return [], {}

    class BuildOps(cpp_extension.BuildExtension):
        """Goes on without the operators where they can't be built, unless they are required."""

        def build_extension(self, ext) -> None:
            try:
                super().build_extension(ext)
            except Exception as error:
                if required:
                    raise
                print(f'The operators were not built: {error}')
                print('Plain PyTorch takes their place. MMTAD_WITH_OPS=1 makes this an error.')

        def get_ext_filename(self, fullname: str) -> str:
            # Loaded by torch.ops.load_library, so one name for every Python.
            return str(Path(*fullname.split('.')).with_suffix('.so'))

    csrc = Path(PACKAGE, 'ops', 'csrc')
    sources = [*csrc.glob('*.cpp'), *csrc.glob('autograd/*.cpp'), *csrc.glob('cpu/*.cpp')]
    flags = {'cxx': ['-O3', '-fopenmp', '-fvisibility=hidden', '-g0', '-Wno-psabi']}
    build, macros = cpp_extension.CppExtension, []
    cuda_at_hand = torch.version.cuda is not None and cpp_extension.CUDA_HOME is not None
    if os.environ.get('FORCE_CUDA') == '1' or (cuda_at_hand and torch.cuda.is_available()):
        build, macros = cpp_extension.CUDAExtension, [('MMTAD_WITH_CUDA', None)]
        sources += [*csrc.glob('cuda/*.cpp'), *csrc.glob('cuda/*.cu')]
        flags['nvcc'] = ['-O3', '--expt-relaxed-constexpr']
        os.environ.setdefault('TORCH_CUDA_ARCH_LIST', '8.0;9.0+PTX')
    extension = build(
        name=f'{PACKAGE}._ext',
        sources=sorted(map(str, sources)),
        include_dirs=[str(ROOT / csrc)],
        depends=sorted(str(path) for path in csrc.rglob('*') if path.suffix in ('.h', '.cuh')),
        define_macros=macros,
        extra_compile_args=flags,
        extra_link_args=['-fopenmp'],
        optional=not required,
    )
    return [extension], {'build_ext': BuildOps}


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
    include_package_data=True,
    python_requires='>=3.10',
    install_requires=read_requirements('runtime'),
    extras_require={
        name: read_requirements(group)
        for name, group in (
            ('mim', 'mminstall'),
            ('optional', 'optional'),
            ('tests', 'tests'),
            ('docs', 'docs'),
        )
    },
    ext_modules=ext_modules,
    cmdclass={'build_py': BuildWithMim, **build_commands},
    zip_safe=False,
)
