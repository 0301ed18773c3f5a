#!/usr/bin/env bash
# Sets up what the tests need, then runs the linter, the format check and the test suite.
# Arguments go to pytest: bash tools/run_tests.sh -k metric
# Fails when any of the three fails.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
setup_env tests

# More threads than this only make small tensors slower.
cores="$(getconf _NPROCESSORS_ONLN)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores < 4 ? cores : 4))}"

failed=()
echo '[tests] ruff check'
"$VENV_PYTHON" -m ruff check . || failed+=('ruff check')
echo '[tests] ruff format --check'
"$VENV_PYTHON" -m ruff format --check . || failed+=('ruff format --check')
echo "[tests] pytest, OMP_NUM_THREADS=$OMP_NUM_THREADS"
"$VENV_PYTHON" -m pytest --durations=10 "$@" || failed+=('pytest')

if [ ${#failed[@]} -gt 0 ]; then
    printf '[tests] failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
