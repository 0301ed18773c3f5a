"""Parameters in few groups, so that optimizers update many at once."""

from __future__ import annotations

from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor, with one group for all parameters that share their options.

    With ``paramwise_cfg`` the default makes a group of each parameter. An optimizer updates group
    by group, so that its ``fused`` and ``foreach`` ways have nothing to join. Options, learning
    rates and weight decays are those of MMEngine's. The state of an optimizer with other groups
    does not load.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the groups of all parameters of a module.

        Args:
            params: Groups, to which those of the module are added.
            module: Module.
            prefix: Its name, '' for the whole model.
            is_dcn_module: As in MMEngine.
        """
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # the outermost of the recursive calls
            params[:] = _join(params)


def _join(groups: list[dict]) -> list[dict]:
    joined: dict[tuple, dict] = {}
    for group in groups:
        options = tuple(sorted((k, v) for k, v in group.items() if k != 'params'))
        joined.setdefault(options, {**group, 'params': []})['params'] += group['params']
    return list(joined.values())
