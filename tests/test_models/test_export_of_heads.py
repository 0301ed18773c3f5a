"""A head whose pyramid and padding follow the length exports for every length.

tools/benchmarks/export.py compares all heads, which takes minutes.
"""

import importlib.util

import pytest
import torch
from mmaction.registry import MODELS
from small_heads import head_config

from tools.deployment.export import FORMATS, TOLERANCE, export


@pytest.mark.slow
@pytest.mark.parametrize('kind', FORMATS)
def test_actionformer_exports(kind, tmp_path):
    if kind == 'onnx' and importlib.util.find_spec('onnxruntime') is None:
        pytest.skip('pip install -r requirements/deployment.txt')
    torch.manual_seed(0)
    features = dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput'))
    head = head_config('ActionFormerHead', num_levels=2)
    detector = MODELS.build(dict(type='TADDetector', data_preprocessor=features, head=head))
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    errors = export(detector, tmp_path / 'model', (kind,))[kind]
    assert 0 <= max(errors.values()) <= TOLERANCE
    assert [path.suffix for path in tmp_path.iterdir()] == [f'.{kind}']
