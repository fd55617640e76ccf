/* Vision transformer (Dosovitskiy et al. 2020, arXiv 2010.11929, figure 1): patches of the image are rows, a learned row that stands
 * for the class comes first, learned places are added; then blocks of attention and two layers, each behind a norm and added to
 * what it was given.  Width 384 is ViT-S, 768 ViT-B, 1024 with 24 layers ViT-L. */
#include "zoo.h"

struct vit {
    int width, layers, patch, classes;
};

enum { HEAD = 64 }; /* numbers of a head */

/* x [B,N,D] -> [B,N,D]: queries, keys and values from one product. */
static tern_value self_attention(tern_graph *g, tern_value x)
{
    tern_shape s = tern_shape_of(g, x);
    int64_t batch = s.dim[0], rows = s.dim[1], width = s.dim[2], heads = width / HEAD ? width / HEAD : 1;
    tern_value qkv = linear(g, x, .out = (int)(3 * width)), part[3];
    qkv = tern_reshape(g, qkv, TERN_SHAPE(batch, rows, 3, heads, width / heads));
    qkv = tern_permute(g, qkv, TERN_SHAPE(2, 0, 3, 1, 4)); /* [3,B,heads,N,D/heads] */
    for (int i = 0; i < 3; i++)
        part[i] = tern_reshape(g, tern_slice(g, qkv, 0, i, 1), TERN_SHAPE(batch, heads, rows, width / heads));
    x = tern_attention(g, part[0], part[1], part[2]);
    x = tern_reshape(g, tern_permute(g, x, TERN_SHAPE(0, 2, 1, 3)), s);
    return linear(g, x, .out = (int)width);
}

static tern_value block(tern_graph *g, tern_value x)
{
    int width = (int)tern_shape_of(g, x).dim[2];
    x = add(g, x, self_attention(g, tern_layer_norm(g, x, .epsilon = 1e-6)));
    tern_value y = tern_gelu(g, linear(g, tern_layer_norm(g, x, .epsilon = 1e-6), .out = 4 * width));
    return add(g, x, linear(g, y, .out = width));
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct vit *p, tern_value image)
{
    int64_t batch = tern_shape_of(g, image).dim[0], width = p->width;
    tern_init small = {TERN_INIT_NORMAL, 0.02};
    tern_value x =
        conv2d(g, image, .out = p->width, .kernel = p->patch, .stride = p->patch, .name = "patches");
    x = tern_permute(g, flatten(g, x, .from = 2), TERN_SHAPE(0, 2, 1)); /* [B,patches,D] */
    tern_value token = tern_param(g, "class", TERN_SHAPE(1, 1, width), small);
    x = tern_concat(g, (tern_value[]){tern_expand(g, token, TERN_SHAPE(batch, 1, width)), x}, 2, 1);
    x = add(g, x, tern_param(g, "places", TERN_SHAPE(1, tern_shape_of(g, x).dim[1], width), small));
    for (int i = 0; i < p->layers; i++) x = block(g, x);
    x = tern_layer_norm(g, x, .epsilon = 1e-6);
    x = tern_reshape(g, tern_slice(g, x, 1, 0, 1), TERN_SHAPE(batch, width));
    return linear(g, x, .out = p->classes, .name = "head");
}

TERN_NET(vit, "vit", "vision transformer, ViT-S/16 by default", false, IMAGE(3, 224, 224), build,
         INT(vit, width, 384, "numbers of a row, 64 a head: 384, 768 or 1024"),
         INT(vit, layers, 12, "blocks"), INT(vit, patch, 16, "pixels of a patch's side"),
         INT(vit, classes, 10, "classes"));
