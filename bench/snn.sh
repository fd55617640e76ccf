#!/bin/sh
# Spiking nets against PyTorch, snnTorch and SpikingJelly: bench/snn.sh BUILD [figure ..]
set -eu
build=$1
shift
cmake --build "$build" --target bench-snn >/dev/null
[ -x "${TERN_PEERS:-$build/peers}/bin/python" ] || bench/setup-peers "${TERN_PEERS:-$build/peers}"
exec python3 bench/snn.py "$build" "$@"
