/* Cases of spiking neurons, forwards and backwards: part of op_cases.h. */
#ifndef TERN_OP_CASES_NEURONS_H
#define TERN_OP_CASES_NEURONS_H

static tern_lif_op some_neuron(bool is_static, int64_t steps)
{
    return (tern_lif_op){.decay = 0.3 + 0.7 * uniform(),
                         .gain = 0.5 + uniform(),
                         .threshold = 0.5 + uniform(),
                         .v_reset = below(2) ? 0 : -0.3,
                         .reset = below(3),
                         .surrogate = below(6),
                         .alpha = 0.5 + 2 * uniform(),
                         .detach_reset = below(2),
                         .strict = below(2),
                         .normalised = below(2),
                         .timesteps = is_static ? (int)steps : 0,
                         .truncate = below(3)};
}

static void make_lif(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 4), n = below(2) ? 64 * between(1, 9) : between(1, 300);
    bool is_static = below(3) == 0;
    tern_lif_op op = some_neuron(is_static, t);
    memcpy(s->args, &op, sizeof op);
    input(s, TERN_SHAPE(is_static ? 1 : t, b, n), NORMAL, false);
    if (below(2))
        input(s, TERN_SHAPE(b, n), NORMAL, false);
    else if (below(2))
        absent(s);
    if (s->nin == 2)
        for (int i = 0; i < 3; i++) input(s, TERN_SHAPE(1), POSITIVE, false);
    s->tolerance = 1e-3;
}

static void make_lif_grad(spec *s)
{
    int64_t t = between(1, 5), b = between(1, 3), n = between(1, 300);
    bool is_static = below(3) == 0, learned = below(2);
    tern_lif_op op = some_neuron(is_static, t);
    memcpy(s->args, &op, sizeof op);
    input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    if (below(2))
        input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    else
        absent(s);
    if (below(2))
        input(s, TERN_SHAPE(b, n), NORMAL, false);
    else
        absent(s);
    input(s, TERN_SHAPE(t, b, n), NORMAL, false);
    if (is_static || learned)
        input(s, TERN_SHAPE(is_static ? 1 : t, b, n), NORMAL, false);
    else
        absent(s);
    if (below(2))
        input(s, TERN_SHAPE(b, n), NORMAL, false);
    else
        absent(s);
    for (int i = 0; learned && i < 3; i++) input(s, TERN_SHAPE(1), POSITIVE, false);
    s->tolerance = 2e-3;
}

#endif
