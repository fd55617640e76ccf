/* zoo: one file a net, at most 200 lines, that reads like the figure in its paper.
 * A net includes this header, declares its parameters, writes its build function and ends with TERN_NET. */
#ifndef TERN_ZOO_H
#define TERN_ZOO_H

#include "tern.h"

/* The nets, one line each. */
#define TERN_NETS(X)                                                                                         \
    X(mlp)                                                                                                   \
    X(lenet)                                                                                                 \
    X(cnn)                                                                                                   \
    X(vgg)                                                                                                   \
    X(spiking_mlp)                                                                                           \
    X(spiking_cnn)                                                                                           \
    X(spiking_vgg)                                                                                           \
    X(vgg11_snn)                                                                                             \
    X(spiking_resnet)                                                                                        \
    X(mobilenet)                                                                                             \
    X(ds_cnn)                                                                                                \
    X(mobilenet_v2)                                                                                          \
    X(mobilenet_v3)                                                                                          \
    X(resnet)                                                                                                \
    X(resnet_small)                                                                                          \
    X(densenet)                                                                                              \
    X(efficientnet)                                                                                          \
    X(vit)                                                                                                   \
    X(mcuformer)                                                                                             \
    X(unet)                                                                                                  \
    X(econ_ae)                                                                                               \
    X(pulse_net)                                                                                             \
    X(nasnet)                                                                                                \
    X(cqmlp)

/* Classic learners, classic.c. */
#define TERN_CLASSICS(X)   X(logreg) X(linear_svm) X(rbf_svm) X(gnb) X(gmm) X(knn) X(kmeans) X(tree) X(forest)
/* Those that have a form in fixed point. */
#define TERN_CLASSICS16(X) X(logreg) X(linear_svm) X(gnb) X(knn) X(kmeans) X(tree) X(forest)

/* Language models, decoders.c. */
#define TERN_DECODERS(X)                                                                                     \
    X(gpt2)                                                                                                  \
    X(gpt3)                                                                                                  \
    X(llama2_7b)                                                                                             \
    X(llama2_13b)                                                                                            \
    X(llama2_70b)                                                                                            \
    X(llama3_8b)                                                                                             \
    X(llama3_70b)                                                                                            \
    X(llama3_405b)                                                                                           \
    X(mixtral_8x7b)                                                                                          \
    X(mamba_130m)                                                                                            \
    X(mamba_1_4b)                                                                                            \
    X(mamba_2_8b)

/* Short names: inside the zoo a layer is called what the papers call it. */
#define linear       tern_linear
#define conv2d       tern_conv2d
#define batch_norm   tern_batch_norm
#define lif          tern_lif
#define max_pool2d   tern_max_pool2d
#define avg_pool2d   tern_avg_pool2d
#define frames       tern_frames
#define flatten      tern_flatten
#define mean         tern_mean
#define sum          tern_sum
#define in_eights    tern_in_eights
#define relu         tern_relu
#define add          tern_add
#define dropout(...) tern_dropout(__VA_ARGS__)
#define clip         tern_clip
#define low_linear   tern_low_linear
#define low_logits   tern_low_logits
#define whole        tern_whole

/* What most nets of images are made of.  x [..,C,H,W] -> [..,out,H/stride,W/stride]: a convolution without bias whose border of
 * kernel/2 zeros keeps the size (of odd kernels, at stride 1), alone and with a batch norm behind it. */
static inline tern_value same_conv2d(tern_graph *g, tern_value x, int out, int kernel, int stride, int groups)
{
    return conv2d(g, x, .out = out, .kernel = kernel, .stride = stride, .pad = kernel / 2, .groups = groups,
                  .bias = false);
}

static inline tern_value conv_norm(tern_graph *g, tern_value x, int out, int kernel, int stride, int groups)
{
    return batch_norm(g, same_conv2d(g, x, out, kernel, stride, groups));
}

#define INT(net, field, standard_, doc_)                                                                     \
    {                                                                                                        \
#field, false, offsetof(struct net, field), standard_, doc_                                          \
    }
#define REAL(net, field, standard_, doc_)                                                                    \
    {                                                                                                        \
#field, true, offsetof(struct net, field), standard_, doc_                                           \
    }

/* Shape of one sample. */
#define IMAGE(c, h, w)                                                                                       \
    {                                                                                                        \
        .rank = 3, .dim = { c, h, w }                                                                        \
    }

#define VECTOR(n)                                                                                            \
    {                                                                                                        \
        .rank = 1, .dim = { n }                                                                              \
    }

/* Parameters that NET-delta has besides those of NET. */
#define DELTA_OPTIONS(id)                                                                                    \
    {"delta-per", false, offsetof(struct id##_delta, delta.per), 0,                                          \
     "a learned step of delta layers for each 0 channel, 1 neuron, 2 layer"},                                \
    {                                                                                                        \
        "delta-start", true, offsetof(struct id##_delta, delta.start), 0.1, "their steps at the beginning"   \
    }

/* The parameter that NET-regroup has besides those of NET. */
#define REGROUP_OPTION(id)                                                                                   \
    {                                                                                                        \
        "group", false, offsetof(struct id##_regroup, regroup.group), 4,                                     \
            "channels that see each other in what were depthwise convolutions"                               \
    }

/* Parameters that NET-int8 has besides those of NET. */
#define INT8_OPTIONS(id)                                                                                     \
    {"int8-per", false, offsetof(struct id##_int8, int8.per), 0,                                             \
     "a scale of weights for each 0 output channel, 1 layer"},                                               \
        {"weight-bits", false, offsetof(struct id##_int8, int8.bits), 8, "bits of a weight, 2 to 8"},        \
        {"out-bits", false, offsetof(struct id##_int8, int8.out), 8,                                         \
         "bits of the net's results, 8 or, of linear layers, 16"},                                           \
        {"act-bits", false, offsetof(struct id##_int8, int8.activations), 8,                                 \
         "bits of what goes from layer to layer, 8 or 16"},                                                  \
    {                                                                                                        \
        "multiplier-bits", false, offsetof(struct id##_int8, int8.multiplier), 32,                           \
            "bits of the multipliers that bring sums to a scale, 32 or 16"                                   \
    }

/* Parameters that NET-qat has besides those of NET. */
#define QAT_OPTIONS(id)                                                                                      \
    {"act-bits", false, offsetof(struct id##_qat, qat.activations), 8,                                       \
     "bits of what goes from layer to layer: 8, or 16, which are not rounded in training"},                  \
    {                                                                                                        \
        "weight-bits", false, offsetof(struct id##_qat, qat.bits), 8,                                        \
            "bits that weights are trained for, 2 to 8"                                                      \
    }

/* Parameters that NET-half has besides those of NET. */
#define HALF_OPTIONS(id)                                                                                     \
    {"half-format", false, offsetof(struct id##_half, half.format), 0, "0 f16, 1 bf16, 2 f32"},              \
        {"lanes", false, offsetof(struct id##_half, half.lanes), 8,                                          \
         "sums of an output of a linear layer, added at its end: 1, 2, 4 or 8"},                             \
        {"wide-sums", false, offsetof(struct id##_half, half.wide), 0, "1: sums are f32, rounded once"},     \
    {                                                                                                        \
        "loss-scale", true, offsetof(struct id##_half, half.scale), 1,                                       \
            "that gradients are multiplied by on their way"                                                  \
    }

/* Parameters that NET-qfx and NET-fixed have besides those of NET. */
#define FIXED_OPTION(id, field, name_, real_, standard_, doc_)                                               \
    {                                                                                                        \
        name_, real_, offsetof(struct id##_qfx, fixed.field), standard_, doc_                                \
    }
#define FIXED_OPTIONS(id)                                                                                    \
    FIXED_OPTION(id, bits, "word", false, 8, "bits of a fixed-point weight, 2 to 16; 0: the net as it is"),  \
        FIXED_OPTION(id, act_bits, "word-act", false, 0, "of an activation; 0: as weights"),                 \
        FIXED_OPTION(id, norm_bits, "word-norm", false, 0, "of a scale of a norm; 0: as weights"),           \
        FIXED_OPTION(id, bias_bits, "word-bias", false, 0,                                                   \
                     "of a bias, also of a norm; 0: as the sums need"),                                      \
        FIXED_OPTION(id, hot, "khot", false, 0, "most one-bits of a weight or scale; 0: any"),               \
        FIXED_OPTION(id, round, "round", false, TERN_ROUND_UP,                                               \
                     "0 TRN, 1 TRN_ZERO, 2 RND, 3 RND_ZERO, 4 RND_MIN_INF, 5 RND_INF, 6 RND_CONV"),          \
        FIXED_OPTION(id, overflow, "overflow", false, TERN_OVERFLOW_SATURATE,                                \
                     "0 WRAP, 1 SAT, 2 SAT_ZERO, 3 SAT_SYM"),                                                \
        FIXED_OPTION(id, range, "range", true, 4, "largest activation expected at the beginning"),           \
        FIXED_OPTION(id, frozen, "frozen", false, 0, "1: binary points are not learned"),                    \
        FIXED_OPTION(id, fit, "point-fit", true, 0.1,                                                        \
                     "weight of the relative squared error of a cast in what its binary point learns from"), \
        FIXED_OPTION(id, shift, "point-shift", false, 0, "binary points begin so much off")

/* Channels as MobileNets v2 and v3 and EfficientNet round them: multiples of 8, not less than nine tenths of what is wanted. */
int tern_in_eights(double wanted);

/* A form of a net holds more than the net, which reads its own parameters in it and so comes first. */
#define NET_FORM(id, form, type, field)                                                                      \
    struct id##form {                                                                                        \
        struct id net;                                                                                       \
        type field;                                                                                          \
    }

/* The record of a net, or of a form of it, whose parameters and options are those of `held`. */
#define NET_RECORD(id, form, held, name_, doc_, ...)                                                         \
    const tern_net tern_net_##id##form = {.name = name_,                                                     \
                                          .doc = doc_,                                                       \
                                          .size = sizeof(struct id##held),                                   \
                                          .options = id##held##_options,                                     \
                                          .build = id##_build,                                               \
                                          __VA_ARGS__}

/* TERN_NET(spiking_cnn, "spiking-cnn", "doc", spiking, IMAGE(1, 28, 28), build, options..): the record of a net, and those of its
 * forms. */
#define TERN_NET(id, name_, doc_, spiking_, sample_, build_, ...)                                            \
    static tern_value id##_build(tern_graph *g, const void *p, tern_value x)                                 \
    {                                                                                                        \
        return build_(g, p, x);                                                                              \
    }                                                                                                        \
    static const tern_option id##_options[] = {__VA_ARGS__, {0}};                                            \
    NET_RECORD(id, , , name_, doc_, .sample = sample_, .spiking = spiking_);                                 \
    NET_FORM(id, _delta, tern_delta_parameters, delta);                                                      \
    static const tern_option id##_delta_options[] = {__VA_ARGS__, DELTA_OPTIONS(id), {0}};                   \
    NET_RECORD(id, _delta, _delta, name_ "-delta", doc_ ", with delta activation layers", .sample = sample_, \
               .spiking = spiking_, .delta = offsetof(struct id##_delta, delta));                            \
    NET_FORM(id, _regroup, tern_regroup, regroup);                                                           \
    static const tern_option id##_regroup_options[] = {__VA_ARGS__, REGROUP_OPTION(id), {0}};                \
    NET_RECORD(id, _regroup, _regroup, name_ "-regroup",                                                     \
               doc_ ", with group convolutions for depthwise ones", .sample = sample_, .spiking = spiking_,  \
               .regroup = offsetof(struct id##_regroup, regroup));                                           \
    NET_FORM(id, _int8, tern_int8_parameters, int8);                                                         \
    static const tern_option id##_int8_options[] = {__VA_ARGS__, INT8_OPTIONS(id), {0}};                     \
    NET_RECORD(id, _int8, _int8, name_ "-int8", doc_ ", in int8", .sample = sample_, .spiking = spiking_,    \
               .int8 = offsetof(struct id##_int8, int8));                                                    \
    NET_FORM(id, _qat, tern_qat_parameters, qat);                                                            \
    static const tern_option id##_qat_options[] = {__VA_ARGS__, QAT_OPTIONS(id), {0}};                       \
    NET_RECORD(id, _qat, _qat, name_ "-qat", doc_ ", rounded as it will be in int8", .sample = sample_,      \
               .spiking = spiking_, .qat = offsetof(struct id##_qat, qat));                                  \
    NET_FORM(id, _half, tern_half_parameters, half);                                                         \
    static const tern_option id##_half_options[] = {__VA_ARGS__, HALF_OPTIONS(id), {0}};                     \
    NET_RECORD(id, _half, _half, name_ "-half", doc_ ", in 16 bits", .sample = sample_, .spiking = spiking_, \
               .half = offsetof(struct id##_half, half));                                                    \
    NET_FORM(id, _qfx, tern_fixed_parameters, fixed);                                                        \
    static const tern_option id##_qfx_options[] = {__VA_ARGS__, FIXED_OPTIONS(id), {0}};                     \
    NET_RECORD(id, _qfx, _qfx, name_ "-qfx", doc_ ", in fixed point", .sample = sample_,                     \
               .spiking = spiking_, .fixed = offsetof(struct id##_qfx, fixed));                              \
    NET_RECORD(id, _fixed, _qfx, name_ "-fixed", doc_ ", in integers", .sample = sample_,                    \
               .spiking = spiking_, .fixed = offsetof(struct id##_qfx, fixed), .integers = true)

#endif
