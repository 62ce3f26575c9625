#!/bin/sh
# Finds a Python that the runbook can use and hands over to scripts/setup.py. POSIX sh, because there may be no Python.
set -eu

cd "$(dirname "$0")/.."
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
seen=''

try() {
    command -v "$1" >/dev/null 2>&1 || return 1
    "$1" -c "$supported" 2>/dev/null && return 0
    seen="$seen $1=$("$1" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo 'does not start')"
    return 1
}

start() {
    found=$1
    shift
    # -B: no bytecode beside the scripts, they run once.
    exec "$found" -B -m scripts.setup "$@"
}

if [ -n "${PYTHON:-}" ]; then
    try "$PYTHON" && start "$PYTHON" "$@"
else
    for candidate in python3 python3.13 python3.12 python3.11 .venv/bin/python; do
        try "$candidate" && start "$candidate" "$@"
    done
fi

{
    echo 'error: no Python 3.11, 3.12 or 3.13 was found'
    if [ -n "${PYTHON:-}" ]; then echo "  where: PYTHON=$PYTHON"; fi
    echo "  found:${seen:- none}"
    if command -v apt-get >/dev/null 2>&1; then
        echo '  fix: sudo apt-get install -y python3 python3-venv  (Debian 12 and later, Ubuntu 24.04 and later), or PYTHON=/path/to/python3.12 make ...'
    else
        echo '  fix: install one, then name it: PYTHON=/path/to/python3.12 make ...'
    fi
} >&2
exit 2
