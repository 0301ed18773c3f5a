"""Detectors as graphs without Python: ``torch.export`` and ONNX."""

from .deployable import DeployableDetector, InputDims, example_inputs
from .export import (
    OPSET,
    ExportError,
    differences,
    export_program,
    run_onnx,
    write_onnx,
    write_program,
)

__all__ = [
    'OPSET',
    'DeployableDetector',
    'ExportError',
    'InputDims',
    'differences',
    'example_inputs',
    'export_program',
    'run_onnx',
    'write_onnx',
    'write_program',
]
