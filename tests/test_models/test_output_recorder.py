"""OutputRecorder: what it reads, and its errors."""

from collections import namedtuple

import pytest
import torch
from torch import nn

from mmtad_decomp.models.distillers import OutputRecorder

Pair = namedtuple('Pair', 'left right')


class Twice(nn.Module):
    """Calls one of its modules twice; outputs of several kinds."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        self.kinds = nn.ModuleDict({'named': Kind(Pair), 'dict': Kind(dict), 'list': Kind(list)})

    def forward(self, x):
        for kind in self.kinds.values():
            kind(x)
        return self.inner(x) + self.inner(-x)


class Kind(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        values = dict(left=x, right=-x)
        if self.kind is list:
            return list(values.values())
        return self.kind(**values)


def record(source, **kwargs):
    model, x = Twice(), torch.randn(3, 2)
    recorder = OutputRecorder(model, source, **kwargs)
    with recorder.recording():
        model(x)
    return model, x, recorder


def test_reads_any_call_of_any_module():
    model, x, recorder = record('inner.0', call=0)
    assert torch.equal(recorder.output(), model.inner[0](x))
    model, x, recorder = record('inner.0')
    assert torch.equal(recorder.output(), model.inner[0](-x))


@pytest.mark.parametrize(
    'source, item', [('kinds.named', 'right'), ('kinds.dict', 'right'), ('kinds.list', 1)]
)
def test_reads_items(source, item):
    _, x, recorder = record(source, item=item)
    assert torch.equal(recorder.output(), -x)


def test_unknown_module():
    message = r"Twice has no module 'outer'; its top modules are \['inner', 'kinds'\]"
    with pytest.raises(ValueError, match=message):
        OutputRecorder(Twice(), 'outer')


def test_not_called_often_enough():
    _, _, recorder = record('inner', call=2)
    with pytest.raises(RuntimeError, match=r"'inner' was called 2 times .* call 2 was asked"):
        recorder.output()


@pytest.mark.parametrize(
    'source, item', [('kinds.named', 'up'), ('kinds.dict', 'up'), ('kinds.list', 2)]
)
def test_unknown_item(source, item):
    _, _, recorder = record(source, item=item)
    with pytest.raises(RuntimeError, match=f'has no item {item!r}'):
        recorder.output()


def test_records_only_within_its_block():
    model, x, recorder = record('inner')
    recorder.clear()
    model(x)
    assert not model.inner._forward_hooks
    with pytest.raises(RuntimeError, match='was called 0 times'):
        recorder.output()
