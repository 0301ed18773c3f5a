"""Which checkpoint a training without a named one resumes from."""

from __future__ import annotations

from mmengine.runner import Runner

from mmtad_decomp.utils import latest_checkpoint


def resume_from_work_dir(runner: Runner) -> None:
    """Let a run that is to resume the latest checkpoint read the one in its work directory.

    MMEngine takes the path in ``last_checkpoint`` as it is: in a copied or moved directory, that
    of the original. A training with none to resume says that it starts anew.

    Raises:
        FileNotFoundError: If ``last_checkpoint`` names a file that is not there.
    """
    if not runner._resume or runner._load_from is not None or runner._has_loaded:
        return
    runner._load_from = latest_checkpoint(runner.work_dir)
    if runner._load_from is None:
        runner.logger.info(f'nothing to resume in {runner.work_dir}: training starts anew')
        runner._resume = False
    else:
        runner.logger.info(f'Auto resumed from the latest checkpoint {runner._load_from}.')
