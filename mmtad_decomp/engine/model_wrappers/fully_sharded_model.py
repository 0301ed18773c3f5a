"""A model whose parameters, gradients and optimizer state are spread over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import broadcast
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

RUNS_ON_CPUS = hasattr(torch.cpu.Stream, 'record_event')  # not in PyTorch 2.6


@MODEL_WRAPPERS.register_module()
class FullyShardedModel(nn.Module):
    """PyTorch's ``fully_shard`` (FSDP2) for MMEngine's ``model_wrapper_cfg``, on GPUs and CPUs.

    Each process keeps a part of every parameter. A unit's parameters are gathered while it runs.
    Losses and gradients are those of ``MMDistributedDataParallel`` up to rounding. State dicts,
    and so checkpoints, hold whole tensors: they load into any number of processes. They have to
    be made by all processes together (:meth:`join_saving`).

    Args:
        module: Initialized here, with the weights of the first process.
        units: Names of the classes whose modules are gathered on their own, such as
            ``('BasicBlock',)``. What lies in none of them is one more unit.

    Raises:
        RuntimeError: On a CPU, if this PyTorch shards models on GPUs only.
        ValueError: If the model has no module of a class in ``units``.
    """

    def __init__(self, module: nn.Module, units: Sequence[str] = ()) -> None:
        super().__init__()
        if get_device() == 'cpu' and not RUNS_ON_CPUS:
            raise RuntimeError(
                f'model_wrapper_cfg: PyTorch {torch.__version__} shards models on GPUs only; '
                'install a newer one, or remove the key'
            )
        self.module = module
        if hasattr(module, 'init_weights'):
            module.init_weights()  # from now on no process has a whole parameter
        for tensor in module.state_dict().values():
            broadcast(tensor)
        for parameter in module.parameters():
            parameter.data = parameter.data.contiguous()  # fully_shard takes no channels_last
        known = {type(part).__name__ for part in module.modules()}
        if missing := sorted(set(units) - known):
            raise ValueError(
                f'model_wrapper_cfg.units: the model has no {missing[0]}; name some of '
                f'{sorted(known)}'
            )
        for part in [*module.modules()][:0:-1]:  # inner modules before those around them
            if type(part).__name__ in units:
                fully_shard(part)
        fully_shard(module)
        module.register_state_dict_post_hook(_gather_parameters)
        module.register_load_state_dict_pre_hook(_split_parameters)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One step of the model on this process's batch; gradients are means over processes."""
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: dict) -> list:
        """Predict; all processes have to take equally many steps."""
        return self.module.val_step(data)

    def test_step(self, data: dict) -> list:
        """Predict; all processes have to take equally many steps."""
        return self.module.test_step(data)

    def join_saving(self, optim_wrapper: OptimWrapper | None) -> None:
        """Take part in the saving of another process.

        Args:
            optim_wrapper: Whose state is saved too, if any.
        """
        self.module.state_dict()
        if optim_wrapper is not None:
            optim_wrapper.state_dict()


def save_whole_state(optimizer: Optimizer) -> None:
    """Make the state dicts of an optimizer of sharded parameters whole, and load such."""
    optimizer.register_state_dict_post_hook(_gather_state)
    optimizer.register_load_state_dict_pre_hook(_split_state)


def _gather(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.full_tensor().cpu() if isinstance(v, DTensor) else v for k, v in values.items()}


def _split(value: Tensor, like: Tensor) -> Tensor:
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value  # a buffer, a number of steps, or a mistake that loading reports
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def _gather_parameters(module: nn.Module, state: dict, prefix: str, metadata: dict) -> None:
    state.update(_gather(state))


def _split_parameters(module: nn.Module, state: dict, prefix: str, *_: object) -> None:
    for name, parameter in module.named_parameters(prefix.removesuffix('.')):
        if name in state:
            state[name] = _split(state[name], parameter)


def _gather_state(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    whole = {number: _gather(values) for number, values in state['state'].items()}
    return {**state, 'state': whole}  # the dicts of `state` are the optimizer's own


def _split_state(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    numbers = [n for group in state['param_groups'] for n in group['params']]
    split = {
        number: {k: _split(v, p) if torch.is_tensor(v) else v for k, v in values.items()}
        for number, p in zip(numbers, parameters)
        if (values := state['state'].get(number)) is not None
    }
    return {**state, 'state': split}
