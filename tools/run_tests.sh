#!/usr/bin/env bash
# Sets up what the tests need, then runs the linter, the format check, the type check and the test suite.
# Arguments go to pytest: bash tools/run_tests.sh -k metric
# Fails when any of the four fails.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
setup_env tests

# One worker a core, up to four, of one thread each: most tests are of tensors too small for more.
cores="$(getconf _NPROCESSORS_ONLN)"
workers=$((cores < 4 ? cores : 4))
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

failed=()
echo '[tests] ruff check'
"$VENV_PYTHON" -m ruff check . || failed+=('ruff check')
echo '[tests] ruff format --check'
"$VENV_PYTHON" -m ruff format --check . || failed+=('ruff format --check')
# Beside the tests: half a minute of one core.
types="$(mktemp)"
trap 'rm -f "$types"' EXIT
"$VENV_PYTHON" -m mypy >"$types" 2>&1 &
mypy=$!
echo "[tests] pytest, $workers workers, OMP_NUM_THREADS=$OMP_NUM_THREADS"
"$VENV_PYTHON" -m pytest --numprocesses "$workers" --dist worksteal --durations=10 "$@" || failed+=('pytest')
echo '[tests] mypy'
wait "$mypy" || failed+=('mypy')
cat "$types"

if [ ${#failed[@]} -gt 0 ]; then
    printf '[tests] failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
