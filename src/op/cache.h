/* Layers of decoders that keep a cache: rotary positions, rows put into it, attention over it. */
#ifndef TERN_OP_CACHE_H
#define TERN_OP_CACHE_H

#include "graph/graph.h"

/* Rotary position embedding: cosines and sines for positions [S] (i32), once for all layers, then x [S,H,D] turned by them.
 * divisors (or the empty value): [dims/2], each pair's angle is divided by its own (Llama 3).  mix above 0: YaRN.
 * adjacent: pairs (2i, 2i+1), as GGUF stores Llama; else (i, i + dims/2), as GPT-NeoX and Hugging Face. */
typedef struct tern_angles_args {
    int dims;
    double base, scale, mix, fast, slow;
    int context;
    double magnitude;
} tern_angles_args;
tern_value tern_angles_with(tern_graph *graph, tern_value positions, tern_value divisors,
                            tern_angles_args args);
#define tern_angles(...) TERN_ANGLES_(__VA_ARGS__, )
#define TERN_ANGLES_(g, positions, divisors, ...)                                                            \
    tern_angles_with(                                                                                        \
        g, positions, divisors,                                                                              \
        (tern_angles_args){                                                                                  \
            .base = 10000, .scale = 1, .fast = 32, .slow = 1, .context = 2048, .magnitude = 1, __VA_ARGS__})
tern_value tern_rotate(tern_graph *graph, tern_value x, tern_value angles, bool adjacent);

/* A cache [C,..] with rows [S,..] put at index [S] (i32; outside: left out).  In place where the cache is a state. */
tern_value tern_put_rows(tern_graph *graph, tern_value cache, tern_value rows, tern_value index);

/* Attention over a cache: q [S,H,D] sees rows 0..position of k and v [C,G,D]; head h reads group h / (H/G).  A query at a
 * negative position gets zeros.  scale 0: 1/sqrt(D); cap above 0: scores become cap tanh(score/cap); window above 0: the
 * last so many rows only.  page above 0: see tern_attend_pages. */
typedef struct tern_attend_args {
    double scale, cap;
    int window, page;
} tern_attend_args;
tern_value tern_attend_with(tern_graph *graph, tern_value q, tern_value k, tern_value v, tern_value positions,
                            tern_attend_args args);
#define tern_attend(...) TERN_ATTEND_(__VA_ARGS__, )
#define TERN_ATTEND_(g, q, k, v, positions, ...)                                                             \
    tern_attend_with(g, q, k, v, positions, (tern_attend_args){.scale = 0, __VA_ARGS__})
/* The same where the cache holds many sequences in pages of args.page rows: query s is of sequence owners[s] (i32 [S]; outside of
 * 0..N-1: it gets zeros), whose row c is row c % page of page table[owner, c / page] (i32 [N,P]; pages that are none are left
 * out).  Pages may be those of several sequences. */
tern_value tern_attend_pages(tern_graph *graph, tern_value q, tern_value k, tern_value v,
                             tern_value positions, tern_value owners, tern_value table,
                             tern_attend_args args);

#endif
