"""MMEngine's Runner with a screen that people can read."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from mmaction.registry import RUNNERS
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner

from .model_wrappers.fully_sharded_model import FullyShardedModel, save_whole_state
from .resuming import resume_from_work_dir

_FILE_ONLY = (
    'Config:\n',
    'Hooks will be executed in the following order',
    f'\n{"-" * 60}\nSystem environment:',
    'paramwise_options -- ',
    'Distributed training is not used, all SyncBatchNorm',
    'malloc: ',
    'training in ',
    'validation in ',
    'testing in ',
)
# How listings and details begin; with MMEngine's listings a run starts with up to 500 lines. The
# summary names the precision, and a precision that is slow is a warning.


@RUNNERS.register_module()
class ConciseRunner(Runner):
    """MMEngine's ``Runner`` whose listings go to the log file, and not to the screen.

    These are the config, the hooks, the system's environment and the options of single parameters;
    so do the settings of malloc and the reasons for a precision.
    :class:`~mmtad_decomp.engine.hooks.RunSummaryHook` sums up a run on the screen.

    A training writes its config into the work directory; a test leaves that of a training alone.
    Checkpoints of a :class:`~mmtad_decomp.engine.model_wrappers.FullyShardedModel` are whole.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger; the arguments are those of ``Runner.build_logger``."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.addFilter(_is_for_the_screen)
        return logger

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build the wrapper; a sharded optimizer's state is saved whole."""
        built = super().build_optim_wrapper(optim_wrapper)
        if isinstance(self.model, FullyShardedModel):
            save_whole_state(built.optimizer)
        return built

    def save_checkpoint(self, *args, save_optimizer: bool = True, **kwargs) -> None:
        """Save as ``Runner.save_checkpoint``, in the first process, with what the others hold."""
        if isinstance(self.model, FullyShardedModel) and not is_main_process():
            self.model.join_saving(self.optim_wrapper if save_optimizer else None)
        super().save_checkpoint(*args, save_optimizer=save_optimizer, **kwargs)

    def load_or_resume(self) -> None:
        """Load or resume a checkpoint; see ``resume_from_work_dir``."""
        resume_from_work_dir(self)
        super().load_or_resume()
        if isinstance(self._train_loop, BaseLoop):  # built: this is a training
            super().dump_config()

    def dump_config(self) -> None:
        """Write the config into the work directory, unless one of its name is there."""
        name = self.cfg.filename
        if name is None or not Path(self.work_dir, Path(name).name).exists():
            super().dump_config()

    def _init_model_weights(self) -> None:
        if not isinstance(self.model, FullyShardedModel):  # has been, before it was sharded
            super()._init_model_weights()


def _is_for_the_screen(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not record.getMessage().startswith(_FILE_ONLY)
