/* Transformers as model files describe them: numbers by the names of GGUF, the architectures that Tern can build, and the
 * layers that they are built of.  An architecture is one file in zoo/ and one line in zoo/language.h. */
#ifndef TERN_LLM_TRANSFORMER_H
#define TERN_LLM_TRANSFORMER_H

#include "io/io.h"
#include "op/cache.h"
#include "op/outlier.h"

typedef struct tern_architecture tern_architecture;
typedef struct tern_adapter tern_adapter; /* llm/adapter.h */

/* What a file says.  Weights are those of the file, found by the names of GGUF. */
typedef struct tern_transformer {
    const tern_architecture *architecture;
    const tern_weights *weights;
    int layers, width, heads, groups, head_width, hidden, vocabulary;
    int context; /* positions that it was trained for */
    int window;  /* rows that a query of a sliding layer sees; 0: all */
    int period;  /* one layer in so many sees all rows, the last of them; 0: all layers slide */
    int cells, taps,
        rank; /* of a state space: cells of its state a channel, rows that its convolution sees, width of its steps; 0: none */
    int experts, chosen;  /* of a layer, and how many of them a token goes through; 0: there are none */
    double epsilon;       /* of the norms */
    double scale;         /* of q k^T; 0: 1/sqrt(head_width) */
    double cap, last_cap; /* soft caps of scores and of logits; 0: none */
    double local_base;    /* of rotary positions in sliding layers; 0: that of `angles` */
    tern_angles_args angles;
    bool adjacent;              /* pairs of rotary elements stand side by side */
    tern_outlier_args outliers; /* of products with weights in rows of bytes */
    tern_adapter *adapters;     /* low-rank updates, all of them added */
    int adapter_count;
    bool watch; /* what products read are outputs "<weight>.in" too: to look at */
} tern_transformer;

/* What a graph is given and keeps.  positions: negative for padding; wanted: rows whose results are asked for.  Keys and
 * values are kept states blk.<l>.keys, blk.<l>.values [rows,groups,head_width] in the format `cache`.  In pages (page above 0) the
 * tokens are those of many sequences: see tern_attend_pages. */
typedef struct tern_feed {
    tern_value tokens, positions, wanted; /* i32 [S], [S], [R] */
    tern_value seen; /* i32 [S]: the last row that each token sees; the empty value: its own position */
    tern_value slots, owners, table; /* in pages: i32 [S] rows of the cache that tokens go to, [S], [N,P] */
    int page;                        /* rows of a page; 0: there are none */
    int context;                     /* rows of a sequence at most, in pages; 0: all */
    int rows;
    tern_dtype cache;
} tern_feed;

struct tern_architecture {
    const char *name; /* "general.architecture" */
    const char *doc;
    bool
        encoder; /* makes rows of features [R,width], where others make logits; all tokens go through at once */
    tern_status (*read)(tern_transformer *t); /* what is its own in the numbers; NULL: nothing */
    /* -> logits [R,vocabulary] */
    tern_value (*build)(tern_graph *graph, const tern_transformer *t, const tern_feed *feed);
};

/* The table (zoo/language.c), NULL behind its end. */
const tern_architecture *tern_architecture_at(int index);

/* The numbers of a file, checked; fails for architectures that are not in the table, naming those that are. */
tern_status tern_transformer_read(tern_transformer *transformer, const tern_weights *weights);

/* The numbers of a language model of the zoo (tern_net's `decoder`), of which nothing but shapes is known: *shapes, which the
 * caller closes, has its tensors without data, in bf16.  zoo/decoders.c */
tern_status tern_transformer_of(tern_transformer *transformer, tern_weights *shapes, const tern_net *net,
                                const void *parameters);

/* "<architecture>.<key>" as a real or whole number or truth; `standard` where it is absent, an error when that is negative. */
tern_status tern_read_real(const tern_transformer *t, const char *key, double standard, double *value);
tern_status tern_read_whole(const tern_transformer *t, const char *key, int standard, int *value);

/* ---- layers (layers.c) ---------------------------------------------------------------------------------------------
 *
 * Rows of activations are [S,width].  Weights are called blk.<layer>.<name>.weight and .bias, without "blk." where the layer
 * is negative; a bias is added where the file has one. */

/* A tensor of the file, of this shape; the empty value where it is absent and may be. */
tern_value tern_file_weight(tern_graph *g, const tern_transformer *t, int layer, const char *name,
                            tern_shape shape, bool needed);
/* x W^T + b, to `out` columns, and what adapters add.  A weight in bytes (i8) has a tensor .scale of its rows, and may have columns in full precision:
 * .exact [out,E] and .exact_columns [E] (i32). */
tern_value tern_project(tern_graph *g, const tern_transformer *t, tern_value x, int layer, const char *name,
                        int out);
/* Along the last axis, root mean square or with the mean taken off; then the weight. */
tern_value tern_scaled_rms(tern_graph *g, const tern_transformer *t, tern_value x, int layer,
                           const char *name);
tern_value tern_scaled_norm(tern_graph *g, const tern_transformer *t, tern_value x, int layer,
                            const char *name);

/* Whether layer l sees only `window` rows. */
bool tern_slides(const tern_transformer *t, int layer);

/* Rows of token_embd.weight, [S,width]. */
tern_value tern_embed_tokens(tern_graph *g, const tern_transformer *t, const tern_feed *feed);
/* Rows of position_embd.weight; the first row of token_types.weight, [width]. */
tern_value tern_embed_positions(tern_graph *g, const tern_transformer *t, const tern_feed *feed);
tern_value tern_first_type(tern_graph *g, const tern_transformer *t);
/* Cosines and sines, by rope_freqs.weight where there is one; `base` 0: that of the file.  Scaling is the file's only with its
 * own base. */
tern_value tern_file_angles(tern_graph *g, const tern_transformer *t, const tern_feed *feed, double base);
/* Queries, keys and values of x (attn_q, attn_k, attn_v, or attn_qkv), normed by head where the file has attn_q_norm and
 * attn_k_norm, turned by `angles` (unless that is the empty value), attention over the cache, attn_output. */
tern_value tern_self_attention(tern_graph *g, const tern_transformer *t, const tern_feed *feed, tern_value x,
                               int layer, tern_value angles);
/* down(f(gate(x)) * up(x)): ffn_gate, ffn_up, ffn_down; where ffn_gate is missing, ffn_up holds both, gate first. */
typedef tern_value tern_curve(tern_graph *g, tern_value x);
tern_value tern_gated_layer(tern_graph *g, const tern_transformer *t, tern_value x, int layer, tern_curve *f);
/* The same by `chosen` of `experts` (ffn_gate_exps, ffn_up_exps, ffn_down_exps [experts,..]), weighed by the softmax of the
 * largest outputs of ffn_gate_inp. */
tern_value tern_gated_experts(tern_graph *g, const tern_transformer *t, tern_value x, int layer,
                              tern_curve *f);
/* Logits of the wanted rows: output.weight, or the table of tokens where that is both. */
tern_value tern_last_layer(tern_graph *g, const tern_transformer *t, tern_value x);

#endif
