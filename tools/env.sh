# Sets up the virtual environment that quickstart.sh and run_tests.sh share. To be sourced:
#
#   source tools/env.sh
#   setup_env lite     # what training and testing need
#   setup_env tests    # the same and what the test suite needs
#
# Afterwards PROJECT_ROOT is the working directory and VENV_PYTHON the interpreter to run.
# If a tier's requirements have not changed, it is not installed again. pip writes to setup.log in
# the environment; its output is shown only if it fails. Variables that change the defaults:
#
#   PYTHON             interpreter that creates the environment (python3)
#   MMTAD_VENV         where the environment lies (.venv in the project)
#   MMTAD_CONSTRAINTS  pinned versions (requirements/constraints.txt;
#                      requirements/constraints-numpy1.txt on Python 3.10)

PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${MMTAD_VENV:-$PROJECT_ROOT/.venv}"
VENV_PYTHON="$VENV/bin/python"

SETUP_LOG="$VENV/setup.log"

say() { printf '[setup] %s\n' "$*"; }

die() {
    printf '[setup] error: %s\n' "$*" >&2
    exit 1
}

# Fails unless $1 is a Python >= 3.10 that can create virtual environments.
check_python() {
    command -v "$1" >/dev/null 2>&1 ||
        die "'$1' was not found. Install Python 3.10 or later, or name one: PYTHON=/path/to/python3"
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "'$1' is $("$1" --version 2>&1), but 3.10 or later is needed. Name one: PYTHON=/path/to/python3"
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        die "'$1' cannot create virtual environments: its venv module is missing." \
            "On Debian and Ubuntu: apt install python3-venv"
}

create_venv() {
    if [ -e "$VENV" ] && "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
        return
    fi
    local python="${PYTHON:-python3}"
    check_python "$python"
    say "creating $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV" || die "'$python -m venv $VENV' failed, see above"
}

choose_constraints() {
    CONSTRAINTS="${MMTAD_CONSTRAINTS:-}"
    if [ -z "$CONSTRAINTS" ]; then
        CONSTRAINTS=requirements/constraints.txt
        if "$VENV_PYTHON" -c 'import sys; sys.exit(sys.version_info >= (3, 11))'; then
            CONSTRAINTS=requirements/constraints-numpy1.txt
        fi
    fi
    [ -f "$CONSTRAINTS" ] || die "the constraints file '$CONSTRAINTS' does not exist"
}

# Prints one hash of where the project lies and of the contents of the files given.
fingerprint() {
    "$VENV_PYTHON" - "$@" <<'PY'
import hashlib, os, sys

digest = hashlib.sha256(os.getcwd().encode())
for name in sys.argv[1:]:
    with open(name, 'rb') as file:
        digest.update(name.encode() + b'\0' + file.read())
print(digest.hexdigest())
PY
}

# pip_install TITLE [arguments of pip install]: shows the title and the seconds that pass. Python
# compiles to bytecode what is imported, which is less than all that is installed.
pip_install() {
    local title="$1" started=$SECONDS pid code=0
    shift
    mkdir -p "$(dirname "$SETUP_LOG")"
    printf '\n$ pip install %s\n' "$*" >>"$SETUP_LOG"
    "$VENV_PYTHON" -m pip install --disable-pip-version-check --no-input --no-compile -c "$CONSTRAINTS" "$@" \
        >>"$SETUP_LOG" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM # bash lets background jobs ignore Ctrl-C
    while [ -t 1 ] && kill -0 "$pid" 2>/dev/null; do
        printf '\r[setup] %s ... %d s' "$title" $((SECONDS - started))
        sleep 1
    done
    wait "$pid" || code=$?
    trap - INT TERM
    [ ! -t 1 ] || printf '\r'
    if [ "$code" -ne 0 ]; then
        tail -n 15 "$SETUP_LOG" >&2
        die "'pip install $*' failed; its whole output is in $SETUP_LOG. Fix the cause and run the" \
            "command again: what is already installed is kept"
    fi
    say "$title: done in $((SECONDS - started)) s"
}

install_lite() {
    pip_install 'build tools' -r requirements/build.txt
    local needs=(-r requirements/mminstall.txt -r requirements/runtime.txt)
    # An mmcv with operators that is already there takes the place of mmcv-lite.
    if "$VENV_PYTHON" -c 'from importlib.metadata import version; version("mmcv")' 2>/dev/null; then
        needs=(-r requirements/runtime.txt)
    fi
    pip_install 'torch, MMEngine, MMCV (lite), MMAction2' "${needs[@]}"
    # Beside the compiler of the operators, which leaves a part of the cores idle.
    "$VENV_PYTHON" -W ignore -c 'import tools.preloaded' >>"$SETUP_LOG" 2>&1 &
    pip_install 'this project and its compiled operators' -e . --no-build-isolation --no-deps
}

install_tests() {
    pip_install 'test tools' -r requirements/tests.txt
    pip_install 'the reference ActionFormer' -r requirements/tests-nodeps.txt --no-build-isolation \
        --no-deps
}

# Installs tier $1 unless its stamp has the fingerprint of the files that follow.
install_tier() {
    local tier="$1" stamp="$VENV/mmtad-$1.stamp" wanted started=$SECONDS
    shift
    wanted="$(fingerprint "$@")"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        say "$tier tier is up to date"
        return
    fi
    "install_$tier"
    printf '%s\n' "$wanted" >"$stamp.tmp"
    mv "$stamp.tmp" "$stamp"
    say "$tier tier installed in $((SECONDS - started)) s"
}

# setup_env lite|tests: see the top of this file.
setup_env() {
    cd "$PROJECT_ROOT"
    create_venv
    # Where no bytecode may lie beside the sources it lies in the environment: without it each
    # process compiles what it imports, which is more than half of the time of a start.
    if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then
        unset PYTHONDONTWRITEBYTECODE
        export PYTHONPYCACHEPREFIX="${PYTHONPYCACHEPREFIX:-$(cd "$VENV" && pwd)/bytecode}"
    fi
    choose_constraints
    local lite=(setup.py pyproject.toml "$CONSTRAINTS"
        requirements/build.txt requirements/mminstall.txt requirements/runtime.txt)
    mapfile -t -O "${#lite[@]}" lite < <(find mmtad_decomp/ops/csrc -type f | LC_ALL=C sort)
    install_tier lite "${lite[@]}"
    if [ "$1" = tests ]; then
        install_tier tests "${lite[@]}" requirements/tests.txt requirements/tests-nodeps.txt
    fi
}
