"""Links of pages and docstrings lead somewhere, and every page is in the index."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for folder in ('docs', 'configs', 'projects', 'data/grid_mini', 'demo', '.github', '')
    for path in ((ROOT / folder).rglob('*.md') if folder else ROOT.glob('*.md'))
)


def links(page):
    """Relative links of a page, without code and addresses."""
    text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.S)
    for target in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'`[^`]*`', '', text)):
        if not target.startswith(('http://', 'https://', 'mailto:')):
            yield target


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r'```.*?```', '', page.read_text(encoding='utf-8'), flags=re.S)
    headings = re.findall(r'^#+ (.*)$', text, flags=re.M)
    return {re.sub(r'[^\w -]', '', head.strip().lower()).replace(' ', '-') for head in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition('#')
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_docstrings_name_what_there_is():
    names = {
        name
        for folder in ('mmtad_decomp', 'tools', 'projects')
        for file in (ROOT / folder).rglob('*.py')
        for name in re.findall(r':[a-z]+:`~?(mmtad_decomp[\w.]*)`', file.read_text('utf-8'))
    }
    assert len(names) > 40
    for name in sorted(names):
        pkgutil.resolve_name(name)


def test_every_page_is_in_the_index():
    index = (ROOT / 'docs/en/index.md').read_text()
    listed = set(re.findall(r'^([a-z0-9_]+/[a-z0-9_]+)$', index, flags=re.M))
    pages = {
        page.relative_to(ROOT / 'docs/en').with_suffix('').as_posix()
        for page in (ROOT / 'docs/en').rglob('*.md')
    }
    assert listed == pages - {'index'}


def test_pages_build_without_warnings(tmp_path):
    pytest.importorskip('sphinx')
    pytest.importorskip('myst_parser')
    command = [sys.executable, '-m', 'sphinx', '-W', '-q', '-b', 'html', '-c', 'docs', 'docs/en']
    result = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'index.html').is_file()
