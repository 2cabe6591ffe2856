#!/bin/sh
# Make .venv with what building and running prepixel needs, and the packages of an extra. Safe to run twice: a second
# run only rebuilds what changed. Usage: ./setup.sh [EXTRA]   (default: dev, which tests, checks and docs need; the
# demo asks for "demo", which is a third of it). Debian's or Ubuntu's packages are asked for only where something is missing.
set -eu
cd "$(dirname "$0")"

need=""
command -v c++ >/dev/null 2>&1 || need="$need g++"
command -v jpegtran >/dev/null 2>&1 || need="$need libjpeg-turbo-progs"
[ -e /usr/include/jpeglib.h ] || need="$need libjpeg-dev"
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || need="$need python3-venv"
python3 -c 'import sysconfig, pathlib, sys; sys.exit(not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").exists())' \
    || need="$need python3-dev"
if [ -n "$need" ]; then
    root=""
    [ "$(id -u)" -eq 0 ] || root="sudo"
    echo "setup: installing Debian packages:$need"
    $root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $need >/dev/null
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: prepixel needs Python 3.11 or later, and python3 is $(python3 --version)" >&2
    exit 1
}
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
    'scikit-build-core>=0.11' nanobind cmake ninja
.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[${1:-dev}]"
echo "setup: .venv is ready"
