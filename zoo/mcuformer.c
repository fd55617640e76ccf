/* MCUFormer (Liang et al., NeurIPS 2023, arXiv 2310.16898): a vision transformer whose linear layers are chains of three factors of
 * low rank, so that it fits a microcontroller.  A class token is carried along, the head reads the mean of the others.  Heads are
 * 64 wide whatever D is.  With `super-` parameters the net is one of a family that shares weights: it reads the leading rows and
 * columns of them, and the first blocks. */
#include "zoo.h"

#include <math.h>

struct mcuformer {
    int D, depth, heads, patch, image, super_D, super_heads, classes;
    double m, rank, super_m, block_heads, block_m;
};

enum { HEAD = 64 }; /* numbers of a head */

/* Digit of block i of a number with a digit a block, the first in front; 0: none. */
static int digit_of(double digits, int depth, int i)
{
    return (int)fmod(floor(digits / pow(10, depth - 1 - i)), 10);
}

/* What a block is made of, and what the family has of it at most: widths of tokens, queries, hidden layer, and ranks. */
typedef struct sizes {
    int width, queries, hidden, attention_rank, mlp_rank;
} sizes;

static sizes sizes_of(int width, int heads, double m, double rank, int super_width)
{
    int hidden = (int)(width * m);
    return (sizes){.width = width,
                   .queries = HEAD * heads,
                   .hidden = hidden,
                   .attention_rank = (int)(super_width * rank),
                   .mlp_rank = (int)((hidden < width ? hidden : width) * rank)};
}

static sizes family_of(const struct mcuformer *p)
{
    int width = p->super_D > p->D ? p->super_D : p->D,
        heads = p->super_heads > p->heads ? p->super_heads : p->heads;
    return sizes_of(width, heads, p->super_m > p->m ? p->super_m : p->m, p->rank, width);
}

static sizes block_sizes(const struct mcuformer *p, int i, int super_width)
{
    int heads = digit_of(p->block_heads, p->depth, i), halves = digit_of(p->block_m, p->depth, i);
    return sizes_of(p->D, heads ? heads : p->heads, halves ? halves / 2.0 : p->m, p->rank, super_width);
}

/* x [..,in] -> [..,rank] -> [..,rank] -> [..,out]; only the last factor has a bias. */
static tern_value chain(tern_graph *g, tern_value x, int rank, int out, int of_in, int of_rank, int of_out,
                        int parts)
{
    double in = (double)tern_shape_of(g, x).dim[2];
    x = linear(g, x, .out = rank, .of_out = of_rank, .of_in = of_in, .bias = false,
               .deviation = 1 / sqrt(in));
    x = linear(g, x, .out = rank, .of_out = of_rank, .of_in = of_rank, .bias = false,
               .deviation = 1 / sqrt(rank));
    return linear(g, x, .out = out, .of_out = of_out, .of_in = of_rank, .parts = parts,
                  .deviation = 1 / sqrt(rank));
}

/* x [B,N,D] -> [B,N,D] */
static tern_value self_attention(tern_graph *g, tern_value x, const sizes *s, const sizes *of)
{
    tern_shape shape = tern_shape_of(g, x);
    int64_t batch = shape.dim[0], rows = shape.dim[1], heads = s->queries / HEAD;
    tern_value part[3], qkv = chain(g, x, s->attention_rank, 3 * s->queries, of->width, of->attention_rank,
                                    3 * of->queries, 3);
    qkv = tern_reshape(g, qkv, TERN_SHAPE(batch, rows, 3, heads, HEAD));
    qkv = tern_permute(g, qkv, TERN_SHAPE(2, 0, 3, 1, 4)); /* [3,B,heads,N,64] */
    for (int i = 0; i < 3; i++)
        part[i] = tern_reshape(g, tern_slice(g, qkv, 0, i, 1), TERN_SHAPE(batch, heads, rows, HEAD));
    x = tern_attention(g, part[0], part[1], part[2]);
    x = tern_reshape(g, tern_permute(g, x, TERN_SHAPE(0, 2, 1, 3)), TERN_SHAPE(batch, rows, s->queries));
    return chain(g, x, s->attention_rank, s->width, of->queries, of->attention_rank, of->width, 1);
}

static tern_value block(tern_graph *g, tern_value x, const sizes *s, const sizes *of)
{
    x = add(g, x, self_attention(g, tern_layer_norm(g, x, .of = of->width), s, of));
    tern_value y = tern_layer_norm(g, x, .of = of->width);
    y = tern_gelu(g, chain(g, y, s->mlp_rank, s->hidden, of->width, of->mlp_rank, of->hidden, 1));
    return add(g, x, chain(g, y, s->mlp_rank, s->width, of->hidden, of->mlp_rank, of->width, 1));
}

/* The leading columns of a parameter [1,rows,of]. */
static tern_value token_rows(tern_graph *g, const char *name, int64_t rows, int width, int of)
{
    tern_value rows_of_all =
        tern_param(g, name, TERN_SHAPE(1, rows, of), (tern_init){TERN_INIT_NORMAL, 0.02});
    return of > width ? tern_slice(g, rows_of_all, 2, 0, width) : rows_of_all;
}

/* Patches of the image as rows [B,N,D], a row for the class in front, and their places added.  Zeros around the image make it
 * `image` wide, and then as wide as whole patches. */
static tern_value tokens(tern_graph *g, const struct mcuformer *p, tern_value image, int of)
{
    tern_shape s = tern_shape_of(g, image);
    int side = s.rank == 4 && p->image < s.dim[2] ? (int)s.dim[2] : p->image;
    int whole_side = (side + p->patch - 1) / p->patch * p->patch, pad = (whole_side - (int)s.dim[2] + 1) / 2;
    tern_value x = conv2d(g, image, .out = p->D, .of_out = of, .kernel = p->patch, .stride = p->patch,
                          .pad = pad, .name = "patches");
    x = tern_permute(g, flatten(g, x, .from = 2), TERN_SHAPE(0, 2, 1));
    tern_value token = tern_expand(g, token_rows(g, "class", 1, p->D, of), TERN_SHAPE(s.dim[0], 1, p->D));
    x = tern_concat(g, (tern_value[]){token, x}, 2, 1);
    return add(g, x, token_rows(g, "places", tern_shape_of(g, x).dim[1], p->D, of));
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct mcuformer *p, tern_value image)
{
    sizes of = family_of(p);
    tern_value x = tokens(g, p, image, of.width);
    for (int i = 0; i < p->depth; i++) {
        sizes s = block_sizes(p, i, of.width);
        x = block(g, x, &s, &of);
    }
    x = tern_layer_norm(g, x, .of = of.width, .name = "norm");
    x = mean(g, tern_slice(g, x, 1, 1, (int)tern_shape_of(g, x).dim[1] - 1), .axis = 1);
    return linear(g, x, .out = p->classes, .of_in = of.width, .of_out = p->classes, .name = "head");
}

#define NAMED(field, name_, real_, standard_, doc_)                                                          \
    {                                                                                                        \
        name_, real_, offsetof(struct mcuformer, field), standard_, doc_                                     \
    }
TERN_NET(mcuformer, "mcuformer", "vision transformer of low rank for microcontrollers", false,
         IMAGE(3, 240, 240), build, INT(mcuformer, depth, 12, "blocks"),
         INT(mcuformer, heads, 3, "heads of 64 of a block"), REAL(mcuformer, m, 4, "hidden layer over D"),
         INT(mcuformer, D, 192, "numbers of a token"),
         REAL(mcuformer, rank, 0.9, "rank of a layer's three factors over D"),
         INT(mcuformer, patch, 16, "pixels of a patch's side"),
         INT(mcuformer, image, 0, "side to which images are brought by zeros around them; 0: as they are"),
         NAMED(block_heads, "block-heads", true, 0, "heads block by block, a digit each; 0: as heads says"),
         NAMED(block_m, "block-m", true, 0,
               "halves of m block by block, a digit each: 7 is 3.5; 0: as m says"),
         NAMED(super_D, "super-D", false, 0, "D of the net whose weights are shared; 0: D"),
         NAMED(super_heads, "super-heads", false, 0, "its heads; 0: as heads"),
         NAMED(super_m, "super-m", true, 0, "its m; 0: as m"), INT(mcuformer, classes, 10, "classes"));
