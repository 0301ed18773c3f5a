"""The notebook runs from its first to its last cell, on the embedded recordings."""

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / 'demo' / 'tutorial.ipynb'


def test_it_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())['cells']
    assert len(cells) > 10
    for cell in cells:
        assert not cell.get('outputs') and cell.get('execution_count') is None


@pytest.mark.slow
def test_it_runs(tmp_path):
    nbformat = pytest.importorskip('nbformat', reason='pip install nbformat')
    nbclient = pytest.importorskip('nbclient', reason='pip install nbclient')
    pytest.importorskip('ipykernel', reason='pip install ipykernel')
    for name in ('data/grid_mini', 'demo', 'model-index.yml', 'mmtad_decomp', 'tools'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')  # the notebook edits a template
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = dict(metadata=dict(path=str(tmp_path)))
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name='python3', resources=place
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get('outputs', ())]
    printed = ''.join(out.text for out in outputs if out.output_type == 'stream')
    assert 'blue' in printed and 'written: data/custom/annotations.json' in printed
    pictures = [out.data for out in outputs if 'image/png' in out.get('data', ())]
    assert len(pictures) == 1 and len(pictures[0]['image/png']) > 20_000
    assert 'mAP' in printed and "'swiu6p'" not in printed and 'swiu6p [' in printed
    assert (tmp_path / 'work_dirs/custom/notebook/last_checkpoint').is_file()
