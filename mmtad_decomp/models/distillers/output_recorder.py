"""Recording what a named module of a model returns, without touching the model's code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class OutputRecorder:
    """Watch one module's output.

    Args:
        model: The model that holds the module.
        source: Dotted name of the module, as in ``model.named_modules()``.
        call: Which of its calls in one forward pass to read; -1 is the last.
        item: Attribute, key or index to take from the output; None takes it whole.

    Raises:
        ValueError: If the model has no such module.
    """

    def __init__(
        self, model: nn.Module, source: str, call: int = -1, item: str | int | None = None
    ) -> None:
        modules = dict(model.named_modules())
        if not source or source not in modules:
            children = sorted(name for name in modules if name and '.' not in name)
            raise ValueError(
                f'recorder: {type(model).__name__} has no module {source!r}; its top modules are '
                f'{children}. Set `source` to the dotted name of one of its modules'
            )
        self.source = source
        self.call = call
        self.item = item
        self._module = modules[source]
        self._outputs: list[Any] = []

    @contextmanager
    def recording(self) -> Iterator[OutputRecorder]:
        """Record within the block; what was recorded before is dropped."""
        self._outputs = []
        handle = self._module.register_forward_hook(
            lambda module, args, output: self._outputs.append(output)
        )
        try:
            yield self
        finally:
            handle.remove()

    def output(self) -> Any:
        """The recorded output.

        Raises:
            RuntimeError: If the module was not called often enough, or has no such item.
        """
        calls = len(self._outputs)
        if not -calls <= self.call < calls:
            raise RuntimeError(
                f'recorder: {self.source!r} was called {calls} times in this forward pass, call '
                f'{self.call} was asked for'
            )
        output = self._outputs[self.call]
        if self.item is None:
            return output
        try:
            if isinstance(self.item, str) and not isinstance(output, dict):
                return getattr(output, self.item)
            return output[self.item]
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise RuntimeError(
                f'recorder: the output of {self.source!r} ({type(output).__name__}) has no item '
                f'{self.item!r}'
            ) from error

    def clear(self) -> None:
        """Let go of the recorded outputs and their graph."""
        self._outputs = []
