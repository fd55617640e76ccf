#!/usr/bin/env bash
# Installs to a temporary prefix, moves it, and compiles a program against it with pkg-config (static and shared) and with
# CMake; the command runs from there too.
set -uo pipefail
cd "$(dirname "$0")/.."
build=${TERN_BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() { # name, command
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: failed: $*"
        tail -20 "$work/log"
    fi
}
prints() { # expected, command
    local expected=$1 found
    shift
    found=$("$@") || return 1
    [ "$found" = "$expected" ] || { echo "printed \"$found\", expected \"$expected\""; return 1; }
}
only_our_names() { # every name that a library gives away begins with tern_
    ! nm -g --defined-only "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[A-Z]/ { print $3 }' | grep -v '^tern_'
}

check install cmake --install "$build" --prefix "$work/first"
mv "$work/first" "$work/prefix"
libdir=$(dirname "$(find "$work/prefix" -name libtern.a)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
mkdir "$work/program"
cat >"$work/program/main.c" <<'C'
#include <stdio.h>
#include <tern.h>
int main(void)
{
    tern_graph *g;
    if (tern_graph_open(&g, NULL) != TERN_OK) return 1;
    tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(5, 7));
    tern_shape shape = tern_shape_of(g, tern_linear(g, x, .out = 3));
    printf("%d %d\n", (int)shape.dim[0], (int)shape.dim[1]);
    tern_graph_close(g);
    return 0;
}
C
cat >"$work/program/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.22)
project(program C)
find_package(Tern 0.1 REQUIRED)
add_executable(program main.c)
target_link_libraries(program PRIVATE Tern::tern)
CMAKE
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
flags=$(pkg-config --cflags --libs tern)
static=$(pkg-config --cflags --static --libs tern | sed 's/-ltern /-l:libtern.a /')
# shellcheck disable=SC2086 # flags are words
check "pkg-config shared" "$compiler" -Wall -Wextra -Wpedantic -Werror "$work/program/main.c" $flags -o "$work/shared"
check "run shared" prints "5 3" "$work/shared"
# shellcheck disable=SC2086
check "pkg-config static" "$compiler" "$work/program/main.c" $static -o "$work/static"
check "run static" prints "5 3" env -u LD_LIBRARY_PATH "$work/static"
check "cmake configures" cmake -S "$work/program" -B "$work/cmake" "-DCMAKE_C_COMPILER=$compiler" "-DCMAKE_PREFIX_PATH=$work/prefix"
check "cmake builds" cmake --build "$work/cmake"
check "run with cmake" prints "5 3" env -u LD_LIBRARY_PATH "$work/cmake/program"
check "names, static" only_our_names "$libdir/libtern.a"
check "names, shared" only_our_names -D "$libdir/libtern.so"
check "header compiles as C++" g++ -std=c++17 -fsyntax-only -x c++ "$work/prefix/include/tern.h"
if [ -x "$work/prefix/bin/tern" ]; then
    cd "$work" || exit 1 # away from the source's machines/
    check "the command lists" prefix/bin/tern list nets
    check "machine files are found" grep -q stm32f746 <(prefix/bin/tern list machines)
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
