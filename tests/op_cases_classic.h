/* Cases of the operators that classic learners are made of: part of op_cases.h. */
#ifndef TERN_OP_CASES_CLASSIC_H
#define TERN_OP_CASES_CLASSIC_H

static void make_squared_distance(spec *s)
{
    int64_t features = between(1, 90), stored = between(1, 150);
    input(s, TERN_SHAPE(between(1, 9), features), NORMAL, false);
    input(s, TERN_SHAPE(stored, features), NORMAL, false);
    if (below(2)) input(s, TERN_SHAPE(stored, features), POSITIVE, false);
}

/* Codes of 16 bits, as they come from positive and negative counts. */
static void codes(spec *s)
{
    for (int i = 0; i < s->nin; i++) s->in[i].dtype = TERN_I16;
}

static void make_code_distance(spec *s)
{
    int shifts[] = {between(0, 3), between(0, 3)};
    memcpy(s->args, shifts, sizeof shifts);
    int64_t features = between(1, 40), stored = between(1, 80);
    input(s, TERN_SHAPE(between(1, 4), features), COUNTS, false);
    input(s, TERN_SHAPE(stored, features), COUNTS, false);
    if (below(2)) input(s, TERN_SHAPE(stored, features), COUNTS, false);
    codes(s);
}

static void make_row_product(spec *s)
{
    int64_t features = between(1, 90), outputs = between(1, 90);
    bool whole = below(3) == 0;
    int shifts[] = {0, whole ? between(0, 3) : 0};
    memcpy(s->args, shifts, sizeof shifts);
    input(s, TERN_SHAPE(between(1, 5), features), whole ? COUNTS : NORMAL, false);
    input(s, TERN_SHAPE(outputs, features), whole ? COUNTS : NORMAL, false);
    if (whole)
        codes(s);
    else if (below(2))
        input(s, TERN_SHAPE(outputs), NORMAL, false);
}

/* Whole distances, so that many are equal. */
static void make_vote(spec *s)
{
    int64_t stored = between(1, 60);
    int classes[] = {between(1, (int)stored), between(1, 5)};
    memcpy(s->args, classes, sizeof classes);
    input(s, TERN_SHAPE(between(1, 9), stored), COUNTS, false);
    s->in[0].dtype = below(2) ? TERN_F32 : TERN_I32;
    input(s, TERN_SHAPE(stored), LABELS, false);
}

/* Nodes that lead on behind themselves, or nowhere; roots that are nodes, or not. */
static void make_tree_walk(spec *s)
{
    int64_t features = between(2, 6), nodes = between(3, 80),
            leaves = between((int)nodes / 2, (int)nodes + 4);
    tern_dtype index = below(2) ? TERN_I16 : TERN_I32;
    int depth = 12;
    memcpy(s->args, &depth, sizeof depth);
    input(s, TERN_SHAPE(between(1, 9), features), NORMAL, false);
    input(s, TERN_SHAPE(nodes), TREE_FEATURE, false);
    input(s, TERN_SHAPE(nodes), NORMAL, false);
    input(s, TERN_SHAPE(nodes), TREE_CHILD, false);
    input(s, TERN_SHAPE(nodes), TREE_CHILD, false);
    for (int i = 1; i < 5; i++)
        if (i != 2) s->in[i].dtype = index;
    input(s, TERN_SHAPE(between(1, 7)), LABELS, false);
    input(s, TERN_SHAPE(leaves, between(1, 5)), NORMAL, false);
    if (below(3)) return;
    for (int i = 0; i < 7; i++) /* codes */
        if (i == 0 || i == 2 || i == 6) s->in[i].dtype = TERN_I16;
}

#define CLASSIC_CASES                                                                                        \
    {"squared_distance", make_squared_distance}, {"squared_distance", make_code_distance},                   \
        {"row_product", make_row_product}, {"vote", make_vote}, {"tree_walk", make_tree_walk},

#endif
