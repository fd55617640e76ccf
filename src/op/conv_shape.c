/* What convolutions of any number format share: their geometry, and whether shapes and arguments go together. */
#include "op/op.h"

/* One-dimensional kernels are not padded along H. */
tern_conv tern_conv_geometry(const tern_shape *x, const tern_shape *w, const tern_conv_op *a)
{
    int r = x->rank;
    bool flat = x->dim[r - 2] == 1 && w->dim[2] == 1;
    int64_t pad_y = flat ? 0 : a->pad, down = a->bottom - a->top, across = a->right - a->left;
    tern_conv c = {
        .images = tern_elements_upto(x, r - 3),
        .in_channels = x->dim[r - 3],
        .height = x->dim[r - 2],
        .width = x->dim[r - 1],
        .out_channels = w->dim[0],
        .kernel_height = w->dim[2],
        .kernel_width = w->dim[3],
        .stride_y = flat ? 1 : a->stride,
        .stride_x = a->stride,
        .pad_y = pad_y + a->top,
        .pad_x = a->pad + a->left,
        .dilation_y = flat ? 1 : a->dilation,
        .dilation_x = a->dilation,
        .groups = a->groups,
        .exact = a->exact,
    };
    c.out_height = tern_conv_extent(c.height, c.kernel_height, c.stride_y, 2 * c.pad_y + down, c.dilation_y);
    c.out_width = tern_conv_extent(c.width, c.kernel_width, c.stride_x, 2 * c.pad_x + across, c.dilation_x);
    return c;
}

tern_status tern_conv_shape(const tern_infer *types, tern_shape *out)
{
    const tern_conv_op *a = types->args;
    const tern_type *x = types->in[0], *w = types->in[1];
    char tx[96], tw[96];
    tern_shape_text(tx, &x->shape);
    tern_shape_text(tw, &w->shape);
    if (a->top < 0 || a->left < 0 || a->bottom < 0 || a->right < 0)
        return tern_infer_fail(types, "borders of %d, %d, %d and %d must be at least 0", a->top, a->left,
                               a->bottom, a->right);
    if (a->stride < 1 || a->dilation < 1 || a->groups < 1 || a->pad < 0)
        return tern_infer_fail(types,
                               "stride %d, dilation %d, groups %d must be at least 1 and pad %d at least 0",
                               a->stride, a->dilation, a->groups, a->pad);
    if (x->shape.rank < 4 || w->shape.rank != 4)
        return tern_infer_fail(types, "x is %s and W %s, expected [..,C,H,W] and [Cout,C/groups,KH,KW]", tx,
                               tw);
    int64_t channels = x->shape.dim[x->shape.rank - 3];
    if (channels % a->groups || w->shape.dim[0] % a->groups || w->shape.dim[1] * a->groups != channels)
        return tern_infer_fail(types, "W %s does not match %lld channels of x %s in %d groups", tw,
                               (long long)channels, tx, a->groups);
    tern_conv c = tern_conv_geometry(&x->shape, &w->shape, a);
    if (c.out_height < 1 || c.out_width < 1)
        return tern_infer_fail(types, "kernel %lldx%lld is larger than the padded image of x %s",
                               (long long)c.kernel_height, (long long)c.kernel_width, tx);
    if (types->nin > 2 && types->in[2] && tern_elements(&types->in[2]->shape) != c.out_channels)
        return tern_infer_fail(types, "bias has %lld elements, expected %lld",
                               (long long)tern_elements(&types->in[2]->shape), (long long)c.out_channels);
    tern_shape y = x->shape;
    y.dim[y.rank - 3] = c.out_channels;
    y.dim[y.rank - 2] = c.out_height;
    y.dim[y.rank - 1] = c.out_width;
    *out = y;
    return TERN_OK;
}

tern_status tern_conv_check_fit(const tern_infer *types, const tern_shape *x, const tern_shape *w,
                                const tern_shape *y)
{
    const tern_conv_op *a = types->args;
    char tx[96], tw[96], ty[96];
    bool fits = a->stride > 0 && a->dilation > 0 && a->groups > 0 && a->pad >= 0 && x->rank >= 4 &&
                y->rank == x->rank && w->rank == 4;
    if (fits) {
        tern_conv c = tern_conv_geometry(x, w, a);
        int r = x->rank;
        fits = w->dim[1] * a->groups == c.in_channels && w->dim[0] % a->groups == 0 &&
               tern_elements_upto(y, r - 3) == c.images && y->dim[r - 3] == c.out_channels &&
               y->dim[r - 2] == c.out_height && y->dim[r - 1] == c.out_width;
    }
    if (fits) return TERN_OK;
    return tern_infer_fail(
        types, "no convolution of x %s with W %s, stride %d, pad %d, dilation %d and groups %d gives %s",
        tern_shape_text(tx, x), tern_shape_text(tw, w), a->stride, a->pad, a->dilation, a->groups,
        tern_shape_text(ty, y));
}
