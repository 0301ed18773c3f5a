"""Stems with another number of input channels than the weights that they start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .introspection import stem_convs

STEM_INITS = ('average', 'inflate')
"""Ways from the kernels of one number of channels to those of another."""


def adapt_stem_weight(weight: Tensor, channels: int, method: str) -> Tensor:
    """Kernels for another number of input channels.

    Args:
        weight: ``(O, C, ...)``.
        channels: C', the new number of input channels.
        method: ``'average'`` gives every channel the mean of the kernels over the old channels
            (the cross-modality start of TSN, Wang et al., ECCV 2016), ``'inflate'`` repeats the
            channels in turn (of RGB, two channels get R and G). Both scale by C / C', so that an
            input of the same size in all channels gets a response of the same size.

    Returns:
        ``(O, C', ...)``.

    Raises:
        ValueError: If the method is unknown.
    """
    check_stem_init(method)
    if method == 'average':
        taken = weight.mean(dim=1, keepdim=True).repeat_interleave(channels, dim=1)
    else:
        taken = weight[:, [channel % weight.shape[1] for channel in range(channels)]]
    return taken * (weight.shape[1] / channels)


def check_stem_init(method: str) -> None:
    """Raise ``ValueError`` unless ``method`` is one of :data:`STEM_INITS`."""
    if method not in STEM_INITS:
        raise ValueError(f'stem_init must be one of {STEM_INITS} or None, got {method!r}')


def widen_stems(backbone: nn.Module, channels: int) -> None:
    """Give the stems of a backbone another number of input channels, with new random weights.

    Raises:
        ValueError: If a stem is a grouped convolution, or there is none.
    """
    convs = stem_convs(backbone)
    if not convs or any(conv.groups != 1 for conv in convs):
        raise ValueError(
            f'the stem of {type(backbone).__name__} is not a plain convolution: set '
            '`backbone.in_channels=None` and the number of channels in the backbone itself'
        )
    for conv in convs:
        if conv.in_channels != channels:
            conv.in_channels = channels
            conv.weight = nn.Parameter(
                conv.weight.new_empty(conv.out_channels, channels, *conv.kernel_size)
            )
            conv.reset_parameters()


def stem_weight_keys(backbone: nn.Module, prefix: str = '') -> list[str]:
    """Names of the stems' weights in the state dict of the backbone, behind ``prefix``."""
    convs = {id(conv) for conv in stem_convs(backbone)}
    return [
        f'{prefix}{name}.weight' if name else f'{prefix}weight'
        for name, module in backbone.named_modules()
        if id(module) in convs
    ]


def adapt_state_dict(
    state: Mapping[str, Tensor], keys: list[str], channels: int, method: str
) -> dict[str, Tensor]:
    """A state dict whose stems have another number of input channels.

    Args:
        state: The weights.
        keys: Names of the stems' weights in it.
        channels: The new number of input channels.
        method: One of :data:`STEM_INITS`.
    """
    adapted = {key: adapt_stem_weight(state[key], channels, method) for key in keys}
    return {**state, **adapted}


@contextmanager
def loading_stems(backbone: nn.Module, channels: int | None, method: str) -> Iterator[None]:
    """Let weights of ``channels`` input channels be loaded within, and adapt them at its end.

    The parameters stay the same objects.

    Args:
        backbone: The backbone.
        channels: Input channels of the weights that will be loaded; None changes nothing.
        method: One of :data:`STEM_INITS`; not read where nothing changes.
    """
    convs = [c for c in stem_convs(backbone) if channels not in (None, c.in_channels)]
    wanted = [conv.in_channels for conv in convs]
    with torch.no_grad():
        for conv in convs:
            conv.in_channels = channels
            conv.weight.data = conv.weight.new_zeros(
                conv.out_channels, channels, *conv.kernel_size
            )
    try:
        yield
    finally:
        with torch.no_grad():
            for conv, own in zip(convs, wanted):
                conv.in_channels = own
                conv.weight.data = adapt_stem_weight(conv.weight, own, method)
