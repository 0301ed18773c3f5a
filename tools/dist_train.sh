#!/usr/bin/env bash
# Usage: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2

# TORCHRUN_ARGS may hold several words.
# shellcheck disable=SC2086
torchrun \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" ${TORCHRUN_ARGS:-} \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
