# Sets up the virtual environment that quickstart.sh and run_tests.sh share. To be sourced:
#
#   source tools/env.sh
#   setup_env lite     # what training and testing need
#   setup_env tests    # the same and what the test suite needs
#
# Afterwards PROJECT_ROOT is the working directory and VENV_PYTHON the interpreter to run.
# If a tier's requirements have not changed, it is not installed again, unless the operators are
# missing and a C++ compiler is there that has not failed to compile the same sources. pip writes to
# setup.log in the environment; its output is shown only if it fails. Variables that change the
# defaults:
#
#   PYTHON             interpreter that creates the environment (python3)
#   MMTAD_VENV         where the environment lies (.venv in the project): a new or empty folder, or
#                      an environment with pip
#   MMTAD_CONSTRAINTS  pinned versions (requirements/constraints.txt;
#                      requirements/constraints-numpy1.txt on Python 3.10)

PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="${MMTAD_VENV:-$PROJECT_ROOT/.venv}"
VENV_PYTHON="$VENV/bin/python"

SETUP_LOG="$VENV/setup.log"
FAILED_BUILD="$VENV/mmtad-failed-build.stamp"

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

# Says what Python the existing environment is of, if that is too old or not the one asked for.
check_existing_python() {
    local version
    version="$("$VENV_PYTHON" --version 2>&1)"
    "$VENV_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "'$VENV' is of $version, but 3.10 or later is needed. Remove it, or name another folder:" \
            "MMTAD_VENV=/path/to/venv"
    [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" --version 2>&1)" = "$version" ] ||
        say "'$VENV' is of $version and stays so: PYTHON=$PYTHON is for new environments only." \
            "Remove it, or name another folder: MMTAD_VENV=/path/to/venv"
}

# Creates the environment where there is none. What an earlier, broken one left is removed, and
# nothing else: the marker, or a stamp of the first tier, says that this script made it.
create_venv() {
    local marker=mmtad-created python="${PYTHON:-python3}"
    if "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
        check_existing_python
        return
    fi
    if [ -e "$VENV" ] && [ ! -f "$VENV/$marker" ] && [ ! -f "$VENV/mmtad-lite.stamp" ] &&
        { [ ! -d "$VENV" ] || [ -n "$(ls -A "$VENV")" ]; }; then
        die "'$VENV' exists, but has no Python with pip and was not made by this script." \
            "Remove it, or name another folder: MMTAD_VENV=/path/to/venv"
    fi
    check_python "$python"
    say "creating $VENV with $("$python" --version)"
    mkdir -p "$VENV"
    : >"$VENV/$marker"
    find "$VENV/" -mindepth 1 ! -name "$marker" -delete
    "$python" -m venv "$VENV" || die "'$python -m venv $VENV' failed, see above"
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
    trap 'kill "$pid" 2>/dev/null; exit 130' INT # bash lets background jobs ignore Ctrl-C
    trap 'kill "$pid" 2>/dev/null; exit 143' TERM
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
    nice "$VENV_PYTHON" -W ignore -c 'import tools.preloaded' >>"$SETUP_LOG" 2>&1 &
    # Verbose, so that the log says why operators were not compiled, which is no failure.
    pip_install 'this project and its compiled operators' -v -e . --no-build-isolation --no-deps
}

# Whether the operators, which are asked for, are not compiled.
lacks_operators() {
    [ "${MMTAD_WITH_OPS:-}" != 0 ] && [ ! -f mmtad_decomp/_ext.so ]
}

# Whether there is a C++ compiler: CXX may name one, with arguments.
has_compiler() {
    local compiler="${CXX:-c++}"
    command -v "${compiler%% *}" >/dev/null 2>&1
}

# Prints what decides whether the operators can be compiled from the files given, one thing a line.
describe_build() {
    local compiler="${CXX:-c++}"
    fingerprint "$@"
    printf '%s\n' "$compiler" "$(command -v "${compiler%% *}")" "$("${compiler%% *}" --version 2>&1 || true)" \
        "MMTAD_WITH_OPS=${MMTAD_WITH_OPS:-} FORCE_CUDA=${FORCE_CUDA:-}"
}

# Whether this compiler has failed to compile the files given.
build_has_failed() {
    [ -f "$FAILED_BUILD" ] && [ "$(cat "$FAILED_BUILD")" = "$(describe_build "$@")" ]
}

# Says so if the operators are not compiled from the files given, and what to do.
report_operators() {
    if ! lacks_operators; then
        return
    elif has_compiler; then
        describe_build "$@" >"$FAILED_BUILD"
        say "the operators could not be compiled, see $SETUP_LOG: all works, but slower. That is tried again" \
            "with another compiler or other sources, or after rm '$FAILED_BUILD'"
    else
        say "no C++ compiler was found, so the operators are not compiled: all works, but slower." \
            "Install one (Debian and Ubuntu: apt install g++) and run the command again"
    fi
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
    if lacks_operators && has_compiler && ! build_has_failed "${lite[@]}"; then # it came later
        rm -f "$VENV/mmtad-lite.stamp"
    fi
    install_tier lite "${lite[@]}"
    report_operators "${lite[@]}"
    if [ "$1" = tests ]; then
        install_tier tests "${lite[@]}" requirements/tests.txt requirements/tests-nodeps.txt
    fi
}
