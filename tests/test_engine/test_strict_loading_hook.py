"""StrictLoadingHook: weights that would be resumed for others."""

import pytest
from checkpoint_runner import build

from mmtad_decomp.engine.hooks import StrictLoadingHook


@pytest.mark.parametrize('trained, resumed', [(True, False), (True, True), (False, False)])
def test_averaged_weights_resumed_without_an_average_are_a_warning(
    tmp_path, monkeypatch, trained, resumed
):
    build(tmp_path, 1, ema=trained).train()
    runner = build(
        tmp_path, 2, ema=resumed, resume=True, extra_hooks=[dict(type=StrictLoadingHook)]
    )
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.train()
    found = [message for message in warnings if 'goes on from the averaged weights' in message]
    assert len(found) == (trained and not resumed)
