#!/usr/bin/env bash
# Makes the shipped student again: bash demo/train.sh path/to/grid
# Prepares GRID, trains a motion teacher and the student, publishes the student in half precision, and
# tests what was published. Run again, it goes on from the last checkpoint.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
grid=${1:?usage: bash demo/train.sh path/to/grid}
python=${PYTHON:-python}

[ -f data/grid/annotations.json ] || "$python" tools/data/grid/prepare.py "$grid" --out data/grid
for system in teacher student; do
    "$python" tools/train.py "configs/demo/$system.py" --resume
done
"$python" tools/model_converters/publish_student.py --half \
    configs/demo/student.py work_dirs/demo/student demo/student
"$python" tools/test.py demo/student.py demo/student.pth --work-dir work_dirs/demo/published \
    --classwise --dump-json work_dirs/demo/published/detections.json
