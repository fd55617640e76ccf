/* Cases of operators that carry a state: part of op_cases.h. */
#ifndef TERN_OP_CASES_STATE_H
#define TERN_OP_CASES_STATE_H

static void make_causal_conv(spec *s)
{
    int64_t tokens = between(1, 9), width = between(1, 12), taps = between(2, 5);
    input(s, TERN_SHAPE(tokens, width), NORMAL, false);
    input(s, TERN_SHAPE(width, taps), NORMAL, false);
    input(s, TERN_SHAPE(width), NORMAL, false);
    input(s, TERN_SHAPE(taps - 1, width), NORMAL, false);
}

static void make_selective_scan(spec *s)
{
    int64_t tokens = between(1, 7), width = between(1, 9), cells = between(1, 6);
    for (int i = 0; i < 2; i++) input(s, TERN_SHAPE(tokens, width), NORMAL, false);
    input(s, TERN_SHAPE(width, cells), NORMAL, false);
    for (int i = 0; i < 2; i++) input(s, TERN_SHAPE(tokens, cells), NORMAL, false);
    input(s, TERN_SHAPE(width), NORMAL, false);
    input(s, TERN_SHAPE(width, cells), NORMAL, false);
}

#define STATE_CASES {"causal_conv", make_causal_conv}, {"selective_scan", make_selective_scan},

#endif
