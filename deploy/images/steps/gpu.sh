#!/bin/sh
# ONNX Runtime for the CPU out, that for CUDA 12 in, at the version of the lock; they share one import directory. gpu.sh PREFIX
# install.sh has removed pip: the one that the base image's venv brings is used. The GPU wheel has no lock here, so no hash either.
set -eu
prefix=$1
version=$("$prefix/bin/python" -c "from importlib.metadata import version; print(version('onnxruntime'))")
"$prefix/bin/python" -m ensurepip >/dev/null
"$prefix/bin/python" -m pip --quiet --disable-pip-version-check uninstall --yes onnxruntime
"$prefix/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir install --no-deps "onnxruntime-gpu==$version"
rm -rf "$prefix"/lib/python3*/site-packages/pip "$prefix"/lib/python3*/site-packages/pip-*.dist-info "$prefix"/bin/pip*
