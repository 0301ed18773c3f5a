"""tools/benchmarks/inference.py: the clock, the ratios and the table."""

import time

import numpy as np
import pytest

from tools.benchmarks import inference
from tools.command_line import run_main


def test_ratios_and_table_are_of_sums_over_parts():
    parts = {
        'RGB baseline': (1.0, 0.0, 8.0, 1.0),
        'decomposed student': (1.0, 0.0, 10.0, 1.0),
        'two streams, TV-L1 at 224x224 and 30 fps': (3.0, 818.0, 18.0, 1.0),
        'two streams, TV-L1': (1.0, 100.0, 18.0, 1.0),
        'two streams, DIS': (1.0, 4.0, 18.0, 1.0),
    }
    results = {name: dict(zip(inference.PARTS, values)) for name, values in parts.items()}
    ratios = inference.bars(results)
    assert list(ratios.values()) == [1.2, 70, 10, 2]
    row = inference.table(results).splitlines()[3]
    assert row == '| decomposed student | 1.00 | 0.00 | 10.00 | 1.00 | 12.00 | 1.20 |'


def test_flow_of_a_finer_clock_is_scaled_to_the_frames():
    frames = np.zeros((3, 4, 8, 3))
    frames[:, :, 2:6] = 1
    assert (inference.squares(frames) == 1).all() and inference.squares(frames).shape[2] == 4
    flow = np.arange(6, dtype=np.float32).repeat(8 * 8 * 2).reshape(6, 8, 8, 2)
    small = inference.shrunk(flow, np.array([0, 3]), (2, 3))
    assert small.shape == (2, 2, 3, 2)
    assert (small[0] == 0).all() and (small[1] == 3 * 2 / 8).all()


def test_the_clock_counts_the_processor_and_adds_up():
    clock = inference.Clock()
    for _ in range(2):
        with clock.part('network'):
            begin = time.process_time()
            while time.process_time() - begin < 0.05:
                pass
            time.sleep(0.2)
    assert 0.1 <= clock.seconds['network'] < 0.2
    assert clock.seconds['decoding'] == 0


@pytest.mark.parametrize('option', [['--seconds', '0'], ['--rounds', '0']])
def test_options_out_of_range(option, capsys):
    assert run_main(inference.main, ['none.mp4', *option]) == 2
    assert '--seconds must be above 0' in capsys.readouterr().err
