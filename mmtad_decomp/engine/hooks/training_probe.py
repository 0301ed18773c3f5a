"""Figures of one training iteration: outputs, gradients of the parts, shares of the losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mmtad_decomp.models.necks import DualBranchNeck
from mmtad_decomp.structures import Signal

_SOURCES = ('backbone', 'neck')
"""Where all losses of a detector meet: at what the first of these gives that has a gradient."""


class TrainingProbe:
    """Watch one training iteration of a model, from before its forward pass to after its update.

    Nothing of the model is changed; module and parameter hooks read what passes by, and
    :meth:`finish` removes them.

    - Outputs: each part of the detector whose output has ``signals()``.
    - Losses: the norm of the gradient of each one in the features where all losses meet: what the
      backbone returns, or the neck where there is no backbone or it is frozen.
    - Parts: the norm of the gradient that the update uses, before clipping; of one process's
      batch where several train, and times the scale of a loss scaler.

    Args:
        model: A detector, or a distiller with a ``student``, without wrappers.
    """

    def __init__(self, model: nn.Module) -> None:
        detector = getattr(model, 'student', model)
        self._calls: dict[str, list[Any]] = {}
        self._signals: list[tuple[str, Signal]] = []
        self._figures: dict[str, Tensor] = {}
        self._gradients: dict[str, dict[str, Tensor]] = {}
        self._handles = [model.register_forward_hook(self._after_forward)]
        for name, child in detector.named_children():
            self._handles.append(child.register_forward_hook(partial(self._record, name)))
        for part, module in _parts(model, detector):
            self._watch(part, module)

    def _watch(self, part: str, module: nn.Module) -> None:
        norms = self._gradients.setdefault(part, {})

        def note(name: str, parameter: nn.Parameter) -> None:
            norm = parameter.grad.detach().float().norm()
            norms[name] = norm.full_tensor() if isinstance(norm, DTensor) else norm

        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                handle = parameter.register_post_accumulate_grad_hook(partial(note, name))
                self._handles.append(handle)

    def _record(self, name: str, module: nn.Module, args: tuple, output: Any) -> None:
        known = (other for calls in self._calls.values() for other in calls)
        passed_on = any(output is other for other in known)  # As by a point to record at.
        if torch.is_grad_enabled() and not passed_on:
            self._calls.setdefault(name, []).append(output)

    def _after_forward(self, model: nn.Module, args: tuple, losses: Any) -> None:
        """Read the outputs and the losses while their graph exists."""
        if not isinstance(losses, dict):
            return
        calls, self._calls = self._calls, {}
        device = next(model.parameters()).device.type
        with torch.autocast(device, enabled=False):
            self._measure_losses(losses, calls)
            with torch.no_grad():
                for name, outputs in calls.items():
                    self._measure_outputs(name, outputs)

    def _measure_losses(self, losses: Mapping[str, Any], calls: Mapping[str, list]) -> None:
        sources = ([t for t in _tensors(calls.get(name)) if t.requires_grad] for name in _SOURCES)
        feats = next(filter(None, sources), [])
        norms = {}
        for name, value in losses.items():
            values = [x.float().mean() for x in _tensors(value)]
            if 'loss' not in name or not values:
                continue
            total = torch.stack(values).sum()
            self._figures[f'loss/{name}'] = total.detach()
            if feats and total.requires_grad:
                gradients = torch.autograd.grad(total, feats, retain_graph=True, allow_unused=True)
                norms[name] = _norm(g.float().norm() for g in gradients if g is not None)
        whole = sum(norms.values())
        for name, norm in norms.items():
            self._figures[f'grad_share/{name}'] = norm / whole

    def _measure_outputs(self, name: str, outputs: list[Any]) -> None:
        for number, output in enumerate(outputs, start=1):
            if not hasattr(output, 'signals'):
                return
            where = name if number == 1 else f'{name}.call{number}'
            for signal in output.signals():
                self._signals.append((where, signal))
                for figure, levels in signal.figures().items():
                    for level, value in enumerate(levels):
                        self._figures[f'{_prefix(where, signal)}{figure}/{level}'] = value

    def finish(self) -> tuple[dict[str, float], list[str]]:
        """Stop watching.

        Returns:
            Figures by name: ``<head>/<output>/<figure>/<level>``, ``grad_norm/<part>``,
            ``grad_share/<loss>``, without those that do not exist (such as the spread of a level
            with one point), and what is wrong, in words.
        """
        for handle in self._handles:
            handle.remove()
        for part, norms in self._gradients.items():
            self._figures[f'grad_norm/{part}'] = _norm(norms.values())
        device = next((x.device for x in self._figures.values()), None)
        values = torch.stack([x.to(device, torch.float32) for x in self._figures.values()])
        figures = dict(zip(self._figures, values.tolist()))
        problems = list(self._problems(figures))
        return {
            name: value
            for name, value in figures.items()
            if math.isfinite(value) and not name.startswith('loss/')
        }, problems

    def _problems(self, figures: Mapping[str, float]) -> Iterator[str]:
        for where, signal in self._signals:
            start = _prefix(where, signal)
            own: dict[str, list[float]] = {}
            for key, value in figures.items():
                if key.startswith(start):
                    own.setdefault(key.removeprefix(start).split('/')[0], []).append(value)
            yield from (f'{where}: {problem}' for problem in signal.problems(own))
        for name, value in figures.items():
            kind, _, subject = name.partition('/')
            if kind == 'loss' and not math.isfinite(value):
                yield f'{subject} is {value}'
            elif kind == 'grad_norm' and value == 0 and not subject.startswith('mimics'):
                yield f'no gradient reaches the {subject}'


def _parts(model: nn.Module, detector: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The trained children of a detector, a dual-branch neck's one by one, and the mimics."""
    for name, child in detector.named_children():
        if isinstance(child, DualBranchNeck):
            yield from ((f'{name}.{branch}', part) for branch, part in child.named_children())
        elif any(p.requires_grad for p in child.parameters()):
            yield name, child
    mimics = getattr(model, 'mimics', None)
    if mimics is not None and any(p.requires_grad for p in mimics.parameters()):
        yield 'mimics', mimics


def _prefix(where: str, signal: Signal) -> str:
    return f'{where}/{signal.name.replace(" ", "_")}/'


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in a tensor, or in a tuple or list of them, however deep."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _norm(norms: Iterable[Tensor]) -> Tensor:
    """The norm of vectors together, from their norms; 0 of none."""
    norms = list(norms)
    return torch.stack(norms).norm() if norms else torch.zeros(())
