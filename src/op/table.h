/* The table of operators: one line each.  A catalogue to read; what an operator does is in its record. */
#ifndef TERN_OP_TABLE_H
#define TERN_OP_TABLE_H

/* clang-format off */
#define TERN_OPERATORS(X)                                                                                              \
    X(add) X(subtract) X(multiply) X(divide)                     /* arithmetic.c: element by element, broadcasting */  \
    X(maximum) X(minimum) X(maximum_grad) X(where)                                                                     \
    X(relu) X(relu_grad) X(sigmoid) X(sigmoid_grad)              /* unary.c: element by element */                     \
    X(tanh) X(tanh_grad) X(gelu) X(gelu_grad) X(gelu_tanh) X(gelu_tanh_grad) X(silu) X(silu_grad)                      \
    X(softplus) X(softplus_grad)                                                                                       \
    X(exp) X(exp_grad) X(log) X(log_grad) X(sqrt) X(sqrt_grad) X(square) X(square_grad)                                \
    X(absolute) X(absolute_grad) X(clip) X(clip_grad) X(elu) X(elu_grad) X(leaky_relu) X(leaky_relu_grad)              \
    X(hard_sigmoid) X(hard_sigmoid_grad) X(hard_swish) X(hard_swish_grad) X(power) X(power_grad) X(erf) X(erf_grad) \
    X(negate) X(heaviside) X(round) X(floor)                                                                           \
    X(fused)                                                     /* fused.c: element-wise operators in one pass */     \
    X(dropout) X(dropout_grad)                                   /* dropout.c */                                       \
    X(matmul)                                                    /* matmul.c: batched products */                      \
    X(softmax) X(softmax_grad) X(log_softmax) X(log_softmax_grad) /* rows.c: along the last axis */                    \
    X(normalise) X(normalise_grad)                                                                                     \
    X(permute) X(slice) X(pad) X(concat)                         /* move.c: elements in other places */                \
    X(gather) X(gather_grad) X(cumulative_sum)                   /* gather.c: by index, and up to each */              \
    X(cast)                                                      /* cast.c: in another format */                       \
    X(embedding) X(embedding_grad)                               /* embedding.c: rows of a table */                    \
    X(angles) X(rotate)                                          /* rotary.c: positions */                            \
    X(put_rows) X(attend)                                        /* cache.c: attention over a cache */                \
    X(linear) X(linear_grad_input) X(linear_grad_weight)         /* linear.c: products with a weight matrix */         \
    X(linear_i8)                                                 /* integer.c: of signed bytes, exactly */             \
    X(linear_int8) X(conv2d_int8)                                /* int8_product.c: nets of bytes */                  \
    X(conv2d_transposed_int8) X(linear_int16)                    /* int8_transposed.c */                               \
    X(linear_int16x8) X(conv2d_int16x8)                          /* int16_product.c: activations of 16 bits */          \
    X(conv2d_transposed_int16x8)                                 /* int16_transposed.c */                              \
    X(quantise_int16) X(add_int16) X(subtract_int16) X(multiply_int16) /* int16_element.c: of 16 bits */                 \
    X(rescale_int16) X(logistic_int16) X(tanh_int16)                                                                   \
    X(softmax_int16)                                             /* int16_rows.c */                                    \
    X(linear_int8_mask) X(conv2d_int8_mask) X(add_int8_mask)     /* the same with what their gradients need */          \
    X(int8_grad_scale) X(int8_grad_bias) X(int8_grad_weight) X(int8_grad_input) /* int8_grad.c: their gradients */       \
    X(avg_pool2d_int8_grad) X(take_channels)                                                                           \
    X(int8_update) X(int8_descend) X(softmax_error)              /* int8_update.c: bytes that learn */                  \
    X(half_product) X(half_grad_input) X(half_grad_weight)       /* half_product.c: sums of 16 bits */                 \
    X(half_relu) X(half_relu_grad) X(half_add) X(half_sum) X(half_mean) X(half_mean_grad) X(half_update) /* half_element.c */ \
    X(fake_quantise)                                             /* fake_quantise.c: for training towards that */       \
    X(quantise_int8) X(dequantise_int8) X(table_int8) X(add_int8) X(subtract_int8) X(multiply_int8) /* int8_element.c */ \
    X(avg_pool2d_int8) X(mean_int8) X(softmax_int8)              /* int8_rows.c: of windows, of axes, of rows */         \
    X(lstm_int8) X(lstm_int16x8)                                 /* lstm_int8.c: with cells of 16 bits */                 \
    X(svdf_int8)                                                 /* svdf_int8.c: filters over features and time */       \
    X(layer_norm_int8) X(attention_int8)                         /* int8_token.c: what transformers of bytes need */      \
    X(mlp_int8) X(attention_block_int8)                          /* int8_block.c: some tokens through a whole block */    \
    X(patches_int8)                                              /* int8_patches.c: an image by bands of rows */          \
    X(linear_outlier)                                            /* outlier.c: in bytes, outliers apart */             \
    X(top) X(linear_experts)                                     /* experts.c: mixtures of experts */                  \
    X(conv2d) X(conv2d_grad_input) X(conv2d_grad_weight)         /* conv.c: convolution over images */                 \
    X(conv2d_transposed)                                         /* conv_transposed.c: the other way */                 \
    X(max_pool2d) X(max_pool2d_grad)                             /* pool.c: windows of images */                       \
    X(avg_pool2d) X(avg_pool2d_grad)                                                                                   \
    X(resize) X(resize_grad)                                     /* resize.c: images of another size */                \
    X(resize_int8)                                               /* int8_resize.c: of bytes */                          \
    X(batch_norm) X(batch_norm_grad)                             /* norm.c */                                          \
    X(sum) X(mean) X(expand)                                     /* reduce.c: over axes, and back */                   \
    X(max) X(min) X(extreme_grad)                                /* extreme.c: over axes */                            \
    X(squared_distance) X(vote)                                  /* distance.c: to stored rows, and the nearest */      \
    X(row_product)                                               /* row_product.c: linear classifiers in floats */     \
    X(tree_walk)                                                 /* tree.c: decision trees */                          \
    X(reshape)                                                   /* shape.c: the same elements, elsewhere */           \
    X(spill) X(retrieve)                                         /* spill.c: out of a small memory, and back */        \
    X(lif) X(lif_grad)                                           /* lif.c: integrate-and-fire neurons over time */     \
    X(alif) X(alif_grad)                                         /* alif.c: neurons whose threshold adapts */          \
    X(leak) X(leak_grad)                                         /* leak.c: leaky integration over time */             \
    X(levels) X(levels_grad)                                     /* levels.c: multi-level spikes */                    \
    X(quantise) X(quantise_grad)                                 /* delta.c: activations in learned steps */            \
    X(variation) X(variation_grad)                               /* variation.c: how much changes over time */         \
    X(delta_levels) X(delta_weight) X(delta_product)             /* delta_infer.c: multiply changes only */            \
    X(fixed) X(fixed_grad)                                       /* fixed.c: learned fixed point, in training */         \
    X(affine) X(affine_grad)                                     /* affine.c: a scale and a shift by channel */          \
    X(uniform) X(uniform_grad)                                   /* uniform.c: levels of a learned step */               \
    X(fixed_code) X(fixed_shift) X(fixed_pool) X(fixed_value) X(fixed_point) /* fixed_integer.c: codes of fixed point */             \
    X(fixed_affine) X(fixed_product)                             /* fixed_product.c: sums of products of codes */        \
    X(step_levels) X(thresholds) X(threshold_count)              /* thresholds.c: activations of few levels */           \
    X(poisson) X(latency) X(change)                              /* encode.c: numbers to spikes in time */             \
    X(scan)                                                      /* scan.c: a body graph over time */                  \
    X(causal_conv) X(selective_scan)                             /* state_space.c: what Mamba keeps of earlier tokens */ \
    X(cross_entropy) X(cross_entropy_grad)                       /* loss.c */                                          \
    X(sgd) X(adam)                                               /* optimiser.c: what a parameter becomes */
/* clang-format on */

#endif
