#!/bin/sh
# Sweeps of serving costs against the GenZ analyser: bench/serving.sh BUILD
set -eu
build=$1
shift
cmake --build "$build" >/dev/null
peers=${TERN_PEERS:-$build/peers}
[ -x "$peers/bin/python" ] || python3 -m venv "$peers"
"$peers/bin/python" -c "import GenZ" 2>/dev/null || "$peers/bin/python" -m pip install -q "genz-llm==0.0.16"
exec "$peers/bin/python" bench/serving.py "$build" "$@"
