#!/bin/sh
# The image is read-only, and Numba loads machine code only from where it could also write: 10 MB into /tmp, which is memory.
set -eu
if [ -d "${IMAGE_BAKED:-/opt/penchant/compiled}" ]; then
  export NUMBA_CACHE_DIR="${TMPDIR:-/tmp}/compiled"
  cp -R "${IMAGE_BAKED:-/opt/penchant/compiled}" "$NUMBA_CACHE_DIR.$$"
  chmod 700 "$NUMBA_CACHE_DIR.$$"
  [ -d "$NUMBA_CACHE_DIR" ] && rm -rf "$NUMBA_CACHE_DIR.$$" || mv "$NUMBA_CACHE_DIR.$$" "$NUMBA_CACHE_DIR"
fi
exec "${IMAGE_COMMAND:-/opt/penchant/bin/penchant}" "$@"
