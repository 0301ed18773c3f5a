"""MMEngine's `activation_checkpointing` with the patch of this package."""

from typing import NamedTuple

import torch
from mmengine.runner import turn_on_activation_checkpointing
from torch import nn

import mmtad_decomp  # noqa: F401  (applies the patches)


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.calls = 0

    def forward(self, inputs, scale=1.0):
        self.calls += 1
        hidden = self.layer(inputs).tanh()
        return Pair(hidden, hidden.square() * scale)


def gradient(model):
    output = model.encoder(torch.linspace(-1, 1, 6).view(2, 3), scale=2.0)
    model.zero_grad()
    (output.first + output.second).sum().backward()
    return model.encoder.layer.weight.grad.clone()


def test_a_recomputed_module_is_trained_where_its_input_has_no_gradient():
    torch.manual_seed(0)
    model = nn.Module()
    model.encoder = Encoder()
    expected = gradient(model)
    turn_on_activation_checkpointing(model, ['encoder'])
    torch.testing.assert_close(gradient(model), expected)
    assert model.encoder.calls == 3  # once without, twice with recomputation
