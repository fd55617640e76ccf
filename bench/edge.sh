#!/bin/sh
# Emitted C against TensorFlow Lite Micro with CMSIS-NN on a Cortex-M7 in QEMU: bench/edge.sh BUILD [NET.tflite ..]
set -eu
build=$1
shift
cmake --build "$build" --target tern-command >/dev/null
exec python3 bench/edge.py "$build" "$@"
