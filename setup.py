"""Builds and installs mmtad_decomp."""

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
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
