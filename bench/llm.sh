#!/bin/sh
# Language models against llama.cpp and ik_llama.cpp: bench/llm.sh BUILD [figure ..]
set -eu
build=$1
shift
cmake --build "$build" --target bench-llm >/dev/null
exec python3 bench/llm.py "$build" "$@"
