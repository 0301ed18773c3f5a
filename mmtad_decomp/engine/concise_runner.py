"""MMEngine's Runner with a screen that people can read."""

from __future__ import annotations

import logging
import sys

from mmaction.registry import RUNNERS
from mmengine.logging import MMLogger
from mmengine.runner import Runner

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
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger; the arguments are those of ``Runner.build_logger``."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.addFilter(_is_for_the_screen)
        return logger


def _is_for_the_screen(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not record.getMessage().startswith(_FILE_ONLY)
