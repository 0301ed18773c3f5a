#!/usr/bin/env bash
# Sets up .venv and runs the main job on real recordings: train a motion teacher, an RGB baseline, a
# conventionally distilled and a decomposed student, test all four, and show what came out.
# Run again, it goes on where it was stopped and redoes nothing. Arguments go to
# tools/quickstart.py: bash tools/quickstart.sh --fresh
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
setup_env lite

exec "$VENV_PYTHON" -W ignore tools/quickstart.py "$@"
