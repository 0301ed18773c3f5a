"""Exported heads compute what PyTorch does, for other batch sizes and lengths than they saw."""

import importlib.util

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from small_heads import HEADS, WIDTH, head_config

from tools.deployment.export import TOLERANCE, export

HAS_ONNX = importlib.util.find_spec('onnxruntime') is not None


def detector(head):
    """A detector on features; no weight is zero."""
    init_default_scope('mmaction')
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='TADDetector',
            data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput')),
            neck=dict(type='TemporalProjection', in_channels=WIDTH, out_channels=WIDTH),
            head=head,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.mark.slow
@pytest.mark.parametrize('name', HEADS)
def test_heads_export(name, tmp_path):
    """ONNX too for one head; tools/benchmarks/export.py compares all."""
    is_actionformer = name == 'ActionFormerHead'
    formats = ('pt2', 'onnx') if is_actionformer and HAS_ONNX else ('pt2',)
    head = head_config(name, **({'num_levels': 3} if is_actionformer else {}))
    found = export(detector(head), tmp_path / 'model', formats)
    assert set(found) == set(formats)
    for errors in found.values():
        assert errors and max(errors.values()) <= TOLERANCE
    assert {path.suffix for path in tmp_path.iterdir()} == {f'.{x}' for x in formats}
