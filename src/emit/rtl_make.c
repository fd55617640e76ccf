/* The Makefile of an emitted circuit: simulators, lint, synthesis; and what a form of logic adds to it. */
#include "emit/rtl.h"

#include <string.h>

/* @name@ and the like are of the circuit; @settings@ to @phony@ of the form, which may name those, too. */
static const char text[] =
    "# @name@, written by tern @version@: make check (verilator and iverilog), lint, synth (yosys)@also@\n"
    "SAMPLES ?= @samples@\n"
    "FEW ?= @few@\n"
    "@settings@"
    "\n"
    "check: verilator iverilog\n"
    "\n"
    "verilator: build/V@name@_tb\n"
    "\tbuild/V@name@_tb +samples=$(SAMPLES)@arguments@\n"
    "\n"
    "build/V@name@_tb: @name@.v @name@_tb.v\n"
    "\t@command -v verilator >/dev/null || { echo 'verilator is missing: apt-get install verilator'; exit 1; "
    "}\n"
    "\tverilator --binary --timing -Wno-fatal -Wno-lint -Wno-style -O3@build@ -MAKEFLAGS OPT_FAST=-O1 "
    "--top-module "
    "@name@_tb -Mdir build "
    "@name@.v @name@_tb.v >build.log 2>&1 || { cat build.log; exit 1; }\n"
    "\n"
    "iverilog: @name@.vvp\n"
    "\tvvp -N @name@.vvp +samples=$(FEW)@arguments@\n"
    "@runs@"
    "\n"
    "@name@.vvp: @name@.v @name@_tb.v\n"
    "\t@command -v iverilog >/dev/null || { echo 'iverilog is missing: apt-get install iverilog'; exit 1; }\n"
    "\tiverilog -g2012 -o @name@.vvp @name@.v @name@_tb.v\n"
    "\n"
    "lint:\n"
    "\tverilator --lint-only -Wall -Wno-DECLFILENAME@lenient@ --top-module @name@ @name@.v\n"
    "\n"
    "@rules@"
    "\n"
    "clean:\n"
    "\trm -rf build build.log @name@.vvp@made@\n"
    "\n"
    ".PHONY: check verilator iverilog lint @phony@ clean\n";

void tern_rtl_makefile(const tern_rtl_make *m, const char *const (*pairs)[2], tern_text *t)
{
    const char *const of_form[][2] = {{"also", m->also ? m->also : ""},
                                      {"settings", m->settings ? m->settings : ""},
                                      {"build", m->build ? m->build : ""},
                                      {"arguments", m->arguments ? m->arguments : ""},
                                      {"runs", m->runs ? m->runs : ""},
                                      {"lenient", m->lenient ? m->lenient : ""},
                                      {"rules", m->rules},
                                      {"made", m->made ? m->made : ""},
                                      {"phony", m->phony},
                                      {NULL, NULL}};
    tern_text whole = {0};
    tern_emit_fill(&whole, text, of_form);
    tern_emit_fill(t, whole.data ? whole.data : "", pairs);
    if (tern_text_status(&whole) != TERN_OK) t->failed = true;
    tern_text_free(&whole);
}
