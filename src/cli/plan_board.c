/* tern plan of a net in bytes for a board, as tern emit --bytes-in writes it: what is in RAM, and which step overwrites what. */
#include "cli/blocks.h"
#include "plan/ram.h"

#include <stdlib.h>
#include <string.h>

double tern_largest_memory(const tern_machine *m, bool persistent)
{
    double most = 0;
    for (int i = 0; i < m->tier_count; i++)
        if (m->tiers[i].persistent == persistent && m->tiers[i].size > most) most = m->tiers[i].size;
    return most;
}

tern_status tern_blocks_of(const tern_cli *cli, bool stream, tern_int8_blocks *blocks, bool *automatic)
{
    const char *tile = tern_cli_text(cli, "tile");
    char *end = NULL;
    *automatic = tile && strcmp(tile, "tokens=auto") == 0;
    long tokens = tile && strncmp(tile, "tokens=", 7) == 0 ? strtol(tile + 7, &end, 10) : 1;
    if (tile && !*automatic && (!end || end == tile + 7 || *end || tokens < 1 || tokens > 65536))
        return tern_fail(TERN_USAGE, "--tile is \"%s\", expected tokens=N or tokens=auto", tile);
    *blocks = (tern_int8_blocks){.fuse = !tern_cli_has(cli, "no-fuse"),
                                 .stream = stream && !tern_cli_has(cli, "no-stream"),
                                 .tokens = (int)tokens};
    if (tile && !blocks->fuse)
        return tern_fail(TERN_USAGE, "--tile has no effect with --no-fuse: operators take all tokens");
    return TERN_OK;
}

tern_status tern_take_blocks(tern_graph **graph, const tern_int8_blocks *blocks)
{
    tern_graph *result = NULL;
    TERN_TRY(tern_pass_int8_blocks(*graph, blocks, &result));
    tern_graph_close(*graph);
    *graph = result;
    return TERN_OK;
}

bool tern_plans_board(const tern_cli *cli)
{
    static const char *const own[] = {"machine", "tile", "no-overwrite", "no-stream", "no-fuse"};
    bool any = false;
    for (size_t i = 0; i < TERN_COUNT(own); i++) any |= tern_cli_has(cli, own[i]);
    return any;
}

typedef struct tern_board_plan {
    tern_cli *cli;
    tern_subject subject;
    tern_graph *bytes, *graph; /* operator by operator, and in blocks */
    tern_program *program;
    tern_ram ram;
    size_t limit; /* 0: none */
    int tokens;
} tern_board_plan;

static void close_plan(tern_board_plan *b)
{
    tern_program_close(b->program);
    tern_graph_close(b->graph);
    tern_graph_close(b->bytes);
    tern_subject_close(&b->subject);
}

/* In blocks of so many tokens, in place of the plan that is there. */
static tern_status plan_tokens(tern_board_plan *b, tern_int8_blocks blocks, int tokens)
{
    tern_graph *graph = NULL;
    tern_program *program = NULL;
    tern_plan_options how = {
        .reference = true, .compact = true, .apart = tern_cli_has(b->cli, "no-overwrite")};
    blocks.tokens = tokens;
    TERN_TRY(tern_pass_int8_blocks(b->bytes, &blocks, &graph));
    tern_status status = tern_plan(&program, graph, &how);
    if (status != TERN_OK) {
        tern_graph_close(graph);
        return status;
    }
    tern_program_close(b->program);
    tern_graph_close(b->graph);
    b->graph = graph;
    b->program = program;
    b->tokens = tokens;
    tern_program_ram(program, &b->ram);
    return TERN_OK;
}

/* Tokens that the blocks of a graph have; 1 where there are none. */
static int tokens_of(const tern_graph *g)
{
    for (int n = 0; n < g->node_count; n++) {
        tern_shape x = tern_shape_of(g, g->nodes[n]->in[0]);
        if (tern_int_argument(g->nodes[n], "tokens") > 0) return (int)x.dim[x.rank - 2];
    }
    return 1;
}

/* As many tokens as fit, by doubling; without a limit, as many as cost nothing. */
static tern_status plan_most(tern_board_plan *b, const tern_int8_blocks *blocks)
{
    TERN_TRY(plan_tokens(b, *blocks, 1));
    size_t limit = b->limit ? b->limit : b->ram.all;
    int most = tokens_of(b->graph);
    while (b->tokens < most && b->ram.all <= limit)
        TERN_TRY(plan_tokens(b, *blocks, 2 * b->tokens < most ? 2 * b->tokens : most));
    while (b->tokens > 1 && b->ram.all > limit) TERN_TRY(plan_tokens(b, *blocks, b->tokens / 2));
    return TERN_OK;
}

/* What a step works in besides its operands, and whose place its result takes. */
static const char *overwrites(const tern_program *p, const tern_node *node, char out[96])
{
    const tern_place *place = &p->places[node->out[0].id];
    if (place->space != TERN_SPACE_ARENA || place->root == node->out[0].id) return "";
    for (int i = 0; i < node->nin; i++)
        if (node->in[i].id && p->places[node->in[i].id].root == place->root) {
            const tern_value_info *v = &p->graph->values[node->in[i].id];
            const char *layer = v->kind == TERN_VALUE_NODE ? p->graph->nodes[v->node]->layer : v->name;
            snprintf(out, 96, "result of %.80s", layer);
            return out;
        }
    return "";
}

static tern_status print_steps(const tern_board_plan *b)
{
    const tern_program *p = b->program;
    tern_grid t = {0};
    char text[96];
    tern_grid_row(&t, "step|layer|operator|offset|bytes|beside it|overwrites");
    for (int i = p->prepare_count; i < p->step_count; i++) {
        const tern_node *n = p->steps[i].node;
        const tern_place *place = &p->places[n->out[0].id];
        if (n->op->flags & TERN_OP_VIEW) continue;
        tern_grid_row(&t, "%d|%s|%s|%zu|%zu|%zu|%s", i, n->layer, n->op->name, place->offset, place->bytes,
                      p->steps[i].scratch_bytes, overwrites(p, n, text));
    }
    return tern_grid_print(&t, stdout);
}

static tern_status print(const tern_board_plan *b)
{
    char a[24];
    const tern_program *p = b->program;
    const tern_node *peak = p->peak_step < p->step_count ? p->steps[p->peak_step].node : NULL;
    if (b->cli->json)
        return tern_print_json(json_pack(
            "{s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:s}", "arena_bytes", (json_int_t)b->ram.arena, "state_bytes",
            (json_int_t)b->ram.state, "input_bytes", (json_int_t)b->ram.input, "output_bytes",
            (json_int_t)b->ram.output, "ram_bytes", (json_int_t)b->ram.all, "limit_bytes",
            (json_int_t)b->limit, "tokens", b->tokens, "peak_layer", peak ? peak->layer : ""));
    TERN_TRY(print_steps(b));
    printf("%d tokens at a time; the peak is at %s\n", b->tokens, peak ? peak->layer : "no step");
    printf("RAM %zu bytes (%s): arena %zu, state %zu, input %zu%s, output %zu; the stack comes to it\n",
           b->ram.all, tern_human(a, (double)b->ram.all, "B"), b->ram.arena, b->ram.state, b->ram.input,
           b->ram.input ? "" : " (it lies in the arena, or its rows are asked for as they are needed)",
           b->ram.output);
    return TERN_OK;
}

/* The memory of a machine that code can write to, or --memory. */
static tern_status limit_of(tern_board_plan *b)
{
    const char *name = tern_cli_text(b->cli, "machine");
    tern_machine *m = NULL;
    double most = tern_cli_number(b->cli, "memory");
    if (name && !tern_cli_has(b->cli, "memory")) {
        TERN_TRY(tern_machine_open(&m, name));
        most = tern_largest_memory(m, false);
        tern_machine_close(m);
        if (most <= 0) return tern_fail(TERN_USAGE, "machine %s has no RAM of its own; give --memory", name);
    }
    b->limit = (size_t)most;
    return TERN_OK;
}

static tern_status plan_board(tern_board_plan *b)
{
    tern_subject *s = &b->subject;
    tern_int8_blocks blocks;
    bool automatic;
    if (!s->net->int8)
        return tern_fail(TERN_USAGE,
                         "plan for a board: net %s computes in floats, expected NET-int8 or a run of one",
                         s->net->name);
    TERN_TRY(tern_blocks_of(b->cli, true, &blocks, &automatic));
    TERN_TRY(limit_of(b));
    TERN_TRY(tern_model_graph(&b->bytes, s->net, s->parameters, &s->sample, 1, b->cli->seed));
    TERN_TRY(tern_int8_take_bytes(&b->bytes));
    TERN_TRY(automatic ? plan_most(b, &blocks) : plan_tokens(b, blocks, blocks.tokens));
    TERN_TRY(print(b));
    if (!b->limit || b->ram.all <= b->limit) return TERN_OK;
    const tern_node *peak = b->program->steps[b->program->peak_step].node;
    return tern_fail(TERN_NO_FIT,
                     "does not fit: %zu bytes of RAM are needed, most of them at %s, %zu are there",
                     b->ram.all, peak->layer, b->limit);
}

tern_status tern_plan_board(tern_cli *cli)
{
    tern_board_plan b = {.cli = cli};
    TERN_TRY(tern_subject_open(&b.subject, cli, cli->arguments[0]));
    tern_status status = plan_board(&b);
    close_plan(&b);
    return status;
}
