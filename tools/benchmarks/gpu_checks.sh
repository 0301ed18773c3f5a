#!/usr/bin/env bash
# Build and check the CUDA operators on a machine with an NVIDIA GPU, in one call of under 10 minutes.
#
#   OUT=results bash tools/benchmarks/gpu_checks.sh [WHEELS]
#
# Run it in the repository's root. It needs Python with torch for CUDA, ninja and pytest, and the
# CUDA toolkit of that torch (nvcc, compute-sanitizer, a C++ compiler); no network, and no
# mmcv operators. WHEELS (or $WHEELS) is a folder with wheels of what else `import mmtad_decomp` needs and
# the machine lacks; they are installed into a temporary folder. For a bare image with torch, OpenCV, matplotlib,
# scipy, einops, PyYAML, rich and tqdm, fetch them elsewhere for its Python (38 MB for Python 3.12):
#
#   python -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#       --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 -d WHEELS \
#       mmengine==0.10.7 mmcv-lite==2.1.0 mmaction2==1.2.0 av addict termcolor yapf platformdirs \
#       importlib_metadata lazy-importer 'setuptools<82'
#
# Steps, each with a time limit, all of them run even where one fails:
#   build      FORCE_CUDA=1, for this GPU, in place; left out with PREBUILT=1
#   import     mmtad_decomp and its CUDA operators
#   tests      tests/test_ops on CUDA: formulas, opcheck, gradcheck, torch.compile, streams, graphs
#   bandwidth  tools/benchmarks/gpu_bandwidth.py
#   peers      tools/benchmarks/ops.py --device cuda; every row is written as it comes
#   models     training steps of a student of every head, with its teacher, in bfloat16 where the GPU has it
#   layouts    a training step with channels-last and with contiguous frames, in bfloat16 and float32
#   head       a training step from features beside the official ActionFormer, where that package is
#   sanitizers memcheck, racecheck and synccheck of compute-sanitizer on the tests named `small`, side by side
# Logs and JSON files go to $OUT (default: work_dirs/gpu_checks). A table comes last; the exit
# status is 1 where a step failed. Settings of the GPU are left alone.
set -uo pipefail

wheels=${1:-${WHEELS:-}}
out=${OUT:-work_dirs/gpu_checks}
deadline=$((SECONDS + ${LIMIT:-570}))

fail() {
    echo "gpu_checks: $1" >&2
    exit 2
}

[ -f setup.py ] && [ -d mmtad_decomp/ops/csrc/cuda ] || fail "run it in the repository's root"
command -v nvcc > /dev/null || fail 'nvcc is not on the PATH; install the CUDA toolkit'
mkdir -p "$out" || fail "cannot make the folder $out"
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if [ -n "$wheels" ]; then
    ls "$wheels"/*.whl > /dev/null 2>&1 || fail "no wheels in $wheels"
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
        --target "$site" "$wheels"/*.whl || fail "the wheels in $wheels do not install"
fi
export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
capability=$(python3 -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())') ||
    fail 'torch sees no CUDA device'
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader

names=() results=()

# step NAME SECONDS COMMAND...: run the command within its limit and what is left of the whole.
step() {
    local name=$1 limit=$2 begin=$SECONDS status left
    shift 2
    left=$((deadline - SECONDS))
    [ "$left" -lt "$limit" ] && limit=$left
    names+=("$name")
    if [ "$limit" -le 5 ]; then
        results+=('no time left')
        return 1
    fi
    echo "== $name"
    timeout -k 5 "$limit" "$@" > "$out/$name.log" 2>&1
    status=$?
    tail -n 4 "$out/$name.log"
    case $status in
        0) results+=("ok, $((SECONDS - begin)) s") ;;
        124 | 137) results+=("FAILED: over $limit s") ;;
        *) results+=("FAILED: exit status $status") ;;
    esac
    return "$status"
}

# The three checks of compute-sanitizer side by side: what they found, and 9 if they found something.
sanitise() {
    local tool pid pids=() status=0 tools=(memcheck racecheck synccheck)
    for tool in "${tools[@]}"; do
        # Without PyTorch's cache of memory, an access beyond a tensor is one beyond an allocation.
        PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$tool" \
            --error-exitcode 9 --print-limit 20 python3 -m pytest -q -x -p no:cacheprovider \
            tests/test_ops/test_cuda_ops.py -k small > "$out/$tool.txt" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || status=9
    done
    for tool in "${tools[@]}"; do
        [ "$status" = 0 ] || tail -n 60 "$out/$tool.txt"
        echo "$tool: $(grep -E '(passed|failed|error).* in [0-9.]+s' "$out/$tool.txt" | tail -n 1)" \
            "$(grep 'SUMMARY' "$out/$tool.txt" | tail -n 1)"
        rm "$out/$tool.txt"
    done
    return "$status"
}

# The memory order of frames and weights that is faster, by the type of the convolutions.
layouts() {
    local dtype last
    for dtype in bfloat16 float32; do
        for last in True False; do
            echo "optim_wrapper.dtype=$dtype model.backbone.channels_last=$last"
            python3 tools/benchmarks/training_step.py configs/baseline/actionformer_tsm18_grid.py --windows 4 \
                --steps 20 --device cuda --json "$out/layout_${dtype}_$last.json" \
                --cfg-options "optim_wrapper.dtype=$dtype" "model.backbone.channels_last=$last" || return
        done
    done
}

build() {
    FORCE_CUDA=1 MMTAD_WITH_OPS=1 TORCH_CUDA_ARCH_LIST="$capability" MAX_JOBS="$(nproc)" \
        python3 setup.py build_ext --inplace
}

# Several workers of pytest, where pytest-xdist is there: the formulas in float64 take the CPU's time.
workers=()
python3 -c 'import xdist' 2> /dev/null && workers=(-n "$((($(nproc) + 1) / 2))")

export out capability
export -f sanitise layouts build
if [ "${PREBUILT:-0}" = 1 ] || step build 280 bash -c build; then
    step import 60 python3 -c "from mmtad_decomp.ops import DEVICES; assert 'cuda' in DEVICES, DEVICES"
    # Neither is timed, so that the sanitizers run beside the tests.
    timeout -k 5 240 bash -c sanitise > "$site/sanitise" 2>&1 &
    sanitising=$!
    step tests 180 env OMP_NUM_THREADS=2 python3 -m pytest -q -p no:cacheprovider "${workers[@]}" \
        tests/test_ops -k cuda --ignore tests/test_ops/test_cuda_emulation.py \
        --ignore tests/test_ops/test_cuda_compile.py
    wait "$sanitising"
    step sanitizers 30 bash -c "cat '$site/sanitise'; exit $?"
    step bandwidth 40 python3 tools/benchmarks/gpu_bandwidth.py --json "$out/gpu_bandwidth.json"
    step peers 120 python3 tools/benchmarks/ops.py --device cuda --json "$out/ops_cuda.json"
    step models 200 python3 tools/benchmarks/training_step.py configs/decomp/*_tsm18_fir.py \
        --device cuda --json "$out/training_step.json"
    step layouts 120 bash -c layouts
    if python3 -c 'import actionformer.modeling' 2> /dev/null; then
        step head 60 python3 tools/benchmarks/actionformer_head.py --device cuda --json "$out/actionformer_head.json"
    fi
    [ -f "$out/bandwidth.log" ] && cat "$out/bandwidth.log"
fi

echo
exit_status=0
for i in "${!names[@]}"; do
    printf '%-10s %s\n' "${names[$i]}" "${results[$i]}"
    [[ ${results[$i]} == ok* ]] || exit_status=1
done
exit "$exit_status"
