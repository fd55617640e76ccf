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

/* Whole distances, so that many are equal. */
static void make_vote(spec *s)
{
    int64_t stored = between(1, 60);
    int classes[] = {between(1, (int)stored), between(1, 5)};
    memcpy(s->args, classes, sizeof classes);
    input(s, TERN_SHAPE(between(1, 9), stored), COUNTS, false);
    s->in[0].dtype = TERN_F32;
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
}

#define CLASSIC_CASES                                                                                        \
    {"squared_distance", make_squared_distance}, {"vote", make_vote}, {"tree_walk", make_tree_walk},

#endif
