"""Writing and checking exported detectors."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from mmtad_decomp.ops import CAN_EXPORT, plain_pytorch
from mmtad_decomp.utils import atomic_write

from .deployable import DeployableDetector
from .length_guard import guard_length

OPSET = 23
"""Opset of the ONNX files: the newest that PyTorch's exporter and ONNX Runtime both know."""


class ExportError(RuntimeError):
    """A detector cannot be exported, or its graph computes something else."""


def export_program(model: DeployableDetector, inputs: tuple[Tensor, Tensor]) -> ExportedProgram:
    """Record a detector for any batch size, and any length that the model takes.

    The operators of this package are recorded as plain PyTorch, so that the graph has standard
    operators only.

    Args:
        model: The detector.
        inputs: Input and masks of at least two windows and two multiples of steps.

    Raises:
        ExportError: If the detector does not export; tells the reason.
    """
    if not CAN_EXPORT:
        raise ExportError(f'PyTorch {torch.__version__} is too old to export; it takes 2.7')
    dims = model.dims
    batch = torch.export.Dim('batch', min=1, max=4096)
    if dims.multiple > 1:
        units = torch.export.Dim('units', min=1, max=dims.longest // dims.multiple)
        steps = dims.multiple * units
    else:
        steps = torch.export.Dim('steps', min=4, max=dims.longest)
    time = 2 if model.detector.backbone is None else 1
    shapes = ({0: batch, time: steps}, {0: batch, 1: steps})
    with torch.no_grad(), plain_pytorch(), _silence():
        model(*inputs)  # Sets the names of the outputs.
        try:
            return torch.export.export(
                model,
                inputs,
                dynamic_shapes=shapes,
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
        except Exception as error:  # torch.export raises errors of many classes
            raise ExportError(_first_sentence('torch.export', error)) from error


def write_program(model: DeployableDetector, program: ExportedProgram, path: Path) -> None:
    """Write a ``.pt2`` file for ``torch.export.load``, with the extra file ``metadata.json``.

    Args:
        model: The detector that was recorded.
        program: The record.
        path: The file.

    Raises:
        ExportError: If a part of the record cannot be written.
    """
    buffer = io.BytesIO()
    metadata = json.dumps(model.metadata())
    with _silence():  # of constants that are parts of one tensor, which it writes rightly
        try:
            torch.export.save(program, buffer, extra_files={'metadata.json': metadata})
        except Exception as error:  # the serializer raises errors of many classes
            raise ExportError(_first_sentence('torch.export.save', error)) from error
    with atomic_write(path) as file:
        file.write(buffer.getvalue())


def write_onnx(
    model: DeployableDetector, program: ExportedProgram, path: Path, opset: int = OPSET
) -> None:
    """Write an ONNX file; the metadata are its ``metadata_props``, as JSON.

    Lengths that the model does not take end a run with an error.

    Args:
        model: The detector that was recorded.
        program: The record.
        path: The file. Weights of more than 2 GB would need a second file and are refused.
        opset: Version of the operators.

    Raises:
        ExportError: If an operator has no ONNX form.
        ImportError: If ``onnx`` or ``onnxscript`` is missing.
    """
    _demand('onnx', 'onnxscript')
    with _silence():
        try:
            exported = torch.onnx.export(
                program,
                input_names=[model.dims.name, 'masks'],
                output_names=list(model.names),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
        except Exception as error:  # the exporter raises errors of many classes
            raise ExportError(_first_sentence('torch.onnx', error)) from error
    proto = exported.model_proto
    guard_length(proto.graph, model.dims)
    for key, value in model.metadata().items():
        proto.metadata_props.add(key=key, value=json.dumps(value))
    with atomic_write(path) as file:
        file.write(proto.SerializeToString())


def run_onnx(path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Run an ONNX file by ONNX Runtime on the CPU.

    Args:
        path: The file.
        inputs: In the order of the file's inputs.

    Raises:
        ImportError: If ``onnxruntime`` is missing.
    """
    _demand('onnxruntime')
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(os.environ.get('OMP_NUM_THREADS', 0))
    session = onnxruntime.InferenceSession(
        os.fspath(path), options, providers=['CPUExecutionProvider']
    )
    feed = {slot.name: x.numpy() for slot, x in zip(session.get_inputs(), inputs)}
    return [torch.from_numpy(np.asarray(x)) for x in session.run(None, feed)]


def differences(
    names: Sequence[str], found: Sequence[Tensor], wanted: Sequence[Tensor]
) -> dict[str, float]:
    """Greatest difference of each output, absolute up to 1 and relative above it.

    Args:
        names: Names of the outputs.
        found: The graph's.
        wanted: PyTorch's.

    Raises:
        ExportError: If shapes differ.
    """
    result = {}
    for name, a, b in zip(names, found, wanted, strict=True):
        if a.shape != b.shape:
            raise ExportError(f'{name} has shape {tuple(a.shape)}, PyTorch gives {tuple(b.shape)}')
        error = (a.double() - b.double()).abs() / b.double().abs().clamp(min=1)
        result[name] = float(error.max()) if error.numel() else 0.0
    return result


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep back what exporters print, warn and log about their own parts."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(disabled)


def _demand(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise ImportError(
                f'ONNX needs {package}: pip install -r requirements/deployment.txt'
            ) from error


def _first_sentence(source: str, error: Exception) -> str:
    """The part of an exporter's message that tells why, on one line."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f'{source}: {type(cause).__name__}: {" ".join(lines[:2])[:300]}'
