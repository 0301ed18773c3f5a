#!/usr/bin/env bash
# Runs the tests of localization in a checkout of MMAction2 1.2 with this package imported before them,
# so that its patches of MMEngine and MMAction2 are in force: localizers, their losses, transforms and metrics.
# (Neither MMAction2's wheel nor its source distribution holds tests.)
#
# Usage: bash tools/reliability/upstream_tests.sh CHECKOUT [arguments of pytest]
set -euo pipefail
if [ $# -lt 1 ] || [ ! -d "$1/tests/models/localizers" ]; then
    echo "usage: bash tools/reliability/upstream_tests.sh CHECKOUT_OF_MMACTION2 [arguments of pytest]" >&2
    exit 2
fi
PROJECT="$(cd "$(dirname "$0")/../.." && pwd)"
cd "$1"
LOADING=tests/datasets/transforms/test_loading.py
METRICS=tests/evaluation/metrics/test_metric_utils.py
PYTHONPATH="$PWD:$PROJECT" python -m pytest -q -rfE -p no:cacheprovider -p mmtad_decomp -c /dev/null \
    --rootdir . --import-mode importlib -W ignore tests/models/localizers tests/models/losses/test_b*_loss.py \
    $LOADING::TestLoad::test_load_localization_feature $LOADING::TestLoad::test_load_proposals \
    $LOADING::TestLocalization tests/datasets/transforms/test_formating.py::TestPackLocalizationInputs \
    $METRICS::test_pairwise_temporal_iou $METRICS::test_average_recall_at_avg_proposals "${@:2}"
