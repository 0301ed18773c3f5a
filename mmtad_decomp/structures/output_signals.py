"""Signs of life of a head's outputs: what a healthy output shows, and what a dead one does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor


class Signal:
    """One output over the points of one or more levels.

    A head's output type lists its signals in a method ``signals()``; that is all that a new head
    has to offer to :class:`~mmtad_decomp.engine.hooks.OutputHealthHook`.

    Args:
        name: Of the output, in words.
        levels: Per level ``(N, K, P)`` values of K outputs at P points, or ``(N, P)``.
        masks: Per level ``(N, P)`` bool, True = valid.
    """

    flat_share = 0.0
    """Spread below which values count as equal, as a share of their mean."""

    def __init__(self, name: str, levels: Sequence[Tensor], masks: Sequence[Tensor]) -> None:
        self.name = name
        self._levels = []
        for values, mask in zip(levels, masks, strict=True):
            values = values.detach().to(torch.promote_types(values.dtype, torch.float32))
            values = values[:, None] if values.ndim == 2 else values
            self._levels.append((values, mask[:, None].expand_as(values)))

    def figures(self) -> dict[str, list[Tensor]]:
        """Scalars per level by name; NaN where a level has no valid point."""
        per_level = [self._measure(values, mask) for values, mask in self._levels]
        return {name: [figures[name] for figures in per_level] for name in per_level[0]}

    def _measure(self, values: Tensor, mask: Tensor) -> dict[str, Tensor]:
        kept = torch.where(mask, values, torch.zeros_like(values))
        count = mask.sum(dim=2)
        mean = kept.sum(dim=2) / count
        squares = torch.where(mask, (values - mean[..., None]).square(), torch.zeros_like(values))
        # Of one point alone there is no spread.
        spread = torch.where(count > 1, (squares.sum(dim=2) / count).sqrt(), torch.nan)
        return dict(
            mean=mean.nanmean(),
            spread=spread.nanmean(),
            not_finite=_share(~values.isfinite(), mask),
        )

    def problems(self, figures: Mapping[str, Sequence[float]]) -> Iterator[str]:
        """Problems in words.

        Args:
            figures: Result of :meth:`figures`, as numbers.
        """
        broken = max((s for s in figures['not_finite'] if not math.isnan(s)), default=0)
        if broken:
            yield f'the {self.name} is NaN or infinite at up to {broken:.0%} of a level'
            return
        pairs = [p for p in zip(figures['spread'], figures['mean']) if not math.isnan(p[0])]
        flat = sum(spread <= self.flat_share * abs(mean) for spread, mean in pairs)
        if flat and flat == len(pairs):
            yield (
                f'the {self.name} is the same at all points of {flat} of {flat} levels: it does '
                'not depend on the video'
            )


class Distances(Signal):
    """Non-negative distances in strides, such as those to a start."""

    zero = 1e-4
    """Distances below it count as 0."""

    def _measure(self, values: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return dict(super()._measure(values, mask), zero=_share(values < self.zero, mask))

    def problems(self, figures: Mapping[str, Sequence[float]]) -> Iterator[str]:
        """Problems in words; a level counts as dead if all of its distances are 0."""
        shares = [share for share in figures['zero'] if not math.isnan(share)]
        dead = sum(share == 1 for share in shares)
        if dead and 2 * dead >= len(shares):
            yield (
                f'the {self.name} is 0 at all points of {dead} of {len(shares)} levels: its '
                'gradient is gone'
            )
        else:
            yield from super().problems(figures)


class Scores(Signal):
    """Scores between 0 and 1."""

    flat_share = 1e-5
    saturated = 1e-6
    """Scores nearer than this to 0 or 1 count as saturated."""

    def _measure(self, values: Tensor, mask: Tensor) -> dict[str, Tensor]:
        far = (values < self.saturated) | (values > 1 - self.saturated)
        return dict(super()._measure(values, mask), saturated=_share(far, mask))

    def problems(self, figures: Mapping[str, Sequence[float]]) -> Iterator[str]:
        """Problems in words."""
        shares = [share for share in figures['saturated'] if not math.isnan(share)]
        if shares and min(shares) == 1:
            yield f'the {self.name} is 0 or 1 at all points: its sigmoid is saturated'
        else:
            yield from super().problems(figures)


def _share(where: Tensor, mask: Tensor) -> Tensor:
    """Share of the valid elements at which a condition holds."""
    return (where & mask).sum() / mask.sum()
