#!/bin/sh
# tern serve against llama-server: bench/serve.sh BUILD [MODEL.gguf]
set -eu
build=$1
shift
cmake --build "$build" --target tern-command >/dev/null
exec python3 bench/serve.py "$build" "$@"
