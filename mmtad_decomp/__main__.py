"""Run a script of another project that reads configs with ``mmtad_decomp::`` bases.

    python -m mmtad_decomp path/to/mmaction2/tools/train.py CONFIG [arguments of the script]

MMEngine finds ``mmtad_decomp::...`` once this package is imported, which those scripts do only
after they have read the config.
"""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the script named first on the command line, with the arguments that follow."""
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        sys.exit('usage: python -m mmtad_decomp SCRIPT.py [arguments of the script]')
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    runpy.run_path(sys.argv[0], run_name='__main__')


if __name__ == '__main__':
    main()
