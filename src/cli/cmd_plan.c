/* tern plan: where every byte of a net goes, and whether it fits. */
#include "cli/blocks.h"
#include "cli/learning.h"
#include "cli/plan_moves.h"
#include "cli/plan_windows.h"

#include <math.h>
#include <string.h>

static const tern_cli_option options[] = {
    {"batch", 'b', TERN_WHOLE, "N", "1", "samples of a batch", "1..65536"},
    {"memory", 'm', TERN_BYTES, "BYTES", NULL,
     "limit of the arena; forward values are computed again to keep it.  With --method: size of the fast "
     "memory",
     NULL},
    {"method", 0, TERN_PICK, "METHOD", NULL,
     "let tensors leave a small memory and return.  Addresses and evictions come from an integer program "
     "over the given order (cosma-fs), over the best order (cosma), window by window (cosma-dc), or window "
     "by window in each one's best order (cosma-dc-free); or are decided step by step (greedy, belady, "
     "greedy-mip)",
     "cosma-fs|cosma|cosma-dc|cosma-dc-free|greedy|belady|greedy-mip"},
    {"schedule", 0, TERN_PICK, "ORDER", "mpmf",
     "--method: the order of the net (default), or the better of that and one that keeps little alive (mpmf)",
     "default|mpmf"},
    {"execute", 0, TERN_FLAG, NULL, NULL,
     "--method: also run the plan, and one without moves: both must give the same bits", NULL},
    {"track", 0, TERN_PICK, "WHAT", "act",
     "--method: what shares the fast memory: activations alone, or also parameters, which come from host "
     "memory",
     "act|act+param"},
    {"time", 0, TERN_NUMBER, "S", "60", "--method: seconds for the solver", "0.1.."},
    {"bytes", 0, TERN_PICK, "OF", "plan", "--method: bytes of an element: as in the plan, or 1 (int8)",
     "plan|int8"},
    {"lp", 0, TERN_TEXT, "FILE", NULL, "--method: also write the integer program, as LP text", NULL},
    {"superpipeline", 0, TERN_TEXT, "K,M|auto", NULL,
     "keep the parameters of K layers in fast memory and move M layers at a time: what that takes of memory "
     "and time, by the speeds of loading and computing that are measured here; auto: all windows that are "
     "worth it, and the fastest within --memory",
     NULL},
    {"reference", 0, TERN_FLAG, NULL, NULL,
     "plan the operators' definitions, which tern emit writes, instead of fast kernels", NULL},
    {"train", 0, TERN_FLAG, NULL, NULL, "plan a training step instead of inference", NULL},
    TERN_UPDATE_OPTION,
    {"stepping", 0, TERN_FLAG, NULL, NULL, "plan one time step, with membranes kept in memory between steps",
     NULL},
    {"rule", 0, TERN_PICK, "NAME", "bptt", "with --train: learning rule, as for tern train",
     "bptt|sltt|sltt-k"},
    {"K", 0, TERN_WHOLE, "K", "2", "rule sltt-k: how many time steps of a batch learn", "1.."},
    {"data", 'd', TERN_TEXT, "DATA", NULL, "data set whose samples the net takes (default: the net's own)",
     NULL},
    {"machine", 0, TERN_TEXT, "M", NULL,
     "of an int8 net: plan as tern emit --bytes-in writes it for a board, within the RAM of this machine",
     NULL},
    TERN_BLOCK_OPTIONS,
    TERN_INPUT_OPTION,
    {0},
};

static json_t *steps_json(const tern_program *p)
{
    json_t *all = json_array();
    for (int i = 0; i < p->step_count; i++) {
        const tern_node *n = p->steps[i].node;
        const tern_place *place = &p->places[n->out[0].id];
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:b,s:I,s:I,s:i,s:i,s:I}", "layer", n->layer,
                                             "operator", n->op->name, "kernel",
                                             p->steps[i].fast ? p->steps[i].fast->name : "reference", "once",
                                             i < p->prepare_count, "offset", (json_int_t)place->offset,
                                             "bytes", (json_int_t)place->bytes, "first", place->first, "last",
                                             place->last, "scratch", (json_int_t)p->steps[i].scratch_bytes));
    }
    return all;
}

/* Bytes of membranes that one run reads and writes. */
static tern_status membrane_traffic(const tern_program *p, double *bytes)
{
    tern_step_work *steps = tern_take_array((size_t)p->step_count + 1, sizeof *steps);
    if (!steps) return tern_no_memory((size_t)p->step_count * sizeof *steps, "an account of work");
    tern_status status = tern_program_work(p, 1, steps);
    *bytes = 0;
    for (int i = 0; status == TERN_OK && i < p->step_count; i++) *bytes += steps[i].traffic.membranes;
    tern_release(steps);
    return status;
}

static tern_status print(tern_cli *cli, const tern_program *p)
{
    tern_memory_need need;
    char a[24], b[24];
    double moved = 0;
    TERN_TRY(tern_program_memory(p, &need));
    double peak = (double)p->arena_bytes + need.weights + need.state + need.inputs;
    TERN_TRY(membrane_traffic(p, &moved));
    if (cli->json)
        return tern_print_json(json_pack(
            "{s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:o}", "arena_bytes", (json_int_t)p->arena_bytes,
            "least_bytes", (json_int_t)p->least_bytes, "prepared_bytes", (json_int_t)p->prepared_bytes,
            "peak_bytes", peak, "weights", need.weights, "state", need.state, "inputs", need.inputs,
            "membranes", need.membranes, "membrane_traffic", moved, "steps", steps_json(p)));
    tern_grid t = {0};
    tern_grid_row(&t, "step|layer|operator|kernel|offset|bytes|lives until");
    for (int i = p->prepare_count; i < p->step_count; i++) {
        const tern_node *n = p->steps[i].node;
        const tern_place *place = &p->places[n->out[0].id];
        if (n->op->flags & TERN_OP_VIEW) continue;
        tern_grid_row(&t, "%d|%s|%s|%s|%zu|%zu|%d", i, n->layer, n->op->name,
                      p->steps[i].fast ? p->steps[i].fast->name : "reference", place->offset, place->bytes,
                      place->last);
    }
    TERN_TRY(tern_grid_print(&t, stdout));
    printf("arena %zu bytes (%s), %.3f of the most that is alive at once (step %d)\n", p->arena_bytes,
           tern_human(a, (double)p->arena_bytes, "B"),
           p->least_bytes ? (double)p->arena_bytes / (double)p->least_bytes : 1.0, p->peak_step);
    if (p->prepare_count)
        printf("%d steps run once, when the parameters are new; what they keep is counted as weights\n",
               p->prepare_count);
    printf("weights %.0f bytes (%s), state %.0f bytes, inputs %.0f bytes\n", need.weights,
           tern_human(b, need.weights, "B"), need.state, need.inputs);
    printf("membranes %.0f bytes of the state, %.0f bytes of them moved in a run\n", need.membranes, moved);
    printf("peak %.0f bytes (%s): all of them together\n", peak, tern_human(a, peak, "B"));
    return TERN_OK;
}

/* The rule asks for a training step. */
static tern_status recipe_of(const tern_cli *cli, const tern_net *net, tern_recipe *recipe)
{
    *recipe = tern_recipe_of(net);
    recipe->rule = (tern_rule)tern_cli_pick(cli, "rule");
    recipe->chosen = tern_cli_whole(cli, "K");
    if (tern_cli_has(cli, "rule") && !tern_cli_has(cli, "train"))
        return tern_fail(TERN_USAGE, "plan: --rule has no effect without --train");
    if (tern_cli_has(cli, "K") && recipe->rule != TERN_SLTT_K)
        return tern_fail(TERN_USAGE, "plan: --K has no effect without --rule sltt-k");
    return TERN_OK;
}

/* The samples of a data set in place of the net's own. */
static tern_status take_sample(const tern_cli *cli, tern_subject *s)
{
    tern_dataset d = {0};
    const char *name = tern_cli_text(cli, "data");
    if (!name) return TERN_OK;
    tern_dataset_options one = {.train_limit = 8, .test_limit = 8};
    TERN_TRY(tern_open_data(&d, name, one, cli, s));
    s->sample = d.sample;
    tern_dataset_close(&d);
    return TERN_OK;
}

/* What is planned: a training step, one time step, or inference. */
static tern_status graph_of(const tern_cli *cli, const tern_subject *s, int batch, const tern_recipe *recipe,
                            tern_graph **g)
{
    if (tern_cli_has(cli, "train"))
        return tern_model_training_graph(g, s->net, s->parameters, &s->sample, batch, recipe);
    if (tern_cli_has(cli, "stepping"))
        return tern_model_step_graph(g, s->net, s->parameters, &s->sample, batch, cli->seed);
    return tern_model_graph(g, s->net, s->parameters, &s->sample, batch, cli->seed);
}

static tern_status check_method(const tern_cli *cli, bool moves)
{
    static const char *const of_method[] = {"time", "bytes", "lp", "schedule", "execute", "track", NULL};
    return moves ? TERN_OK : tern_cli_refuse(cli, of_method, "without --method");
}

static tern_status run_plan(tern_cli *cli)
{
    tern_subject s;
    tern_graph *g = NULL;
    tern_program *p = NULL;
    int batch = tern_cli_whole(cli, "batch");
    TERN_TRY(tern_subject_open(&s, cli, cli->arguments[0]));
    tern_recipe recipe;
    bool learning = tern_cli_has(cli, "train") && (s.net->int8 || s.tflite);
    if (learning) tern_subject_close(&s);
    if (learning) return tern_plan_learning(cli);
    tern_status status = recipe_of(cli, s.net, &recipe);
    if (status == TERN_OK && tern_cli_has(cli, "update"))
        status = tern_fail(TERN_USAGE, "plan: --update is for int8 nets, with --train");
    bool board = status == TERN_OK && tern_plans_board(cli);
    if (board) tern_subject_close(&s);
    if (board) return tern_plan_board(cli);
    if (status == TERN_OK) status = take_sample(cli, &s);
    if (status == TERN_OK) status = graph_of(cli, &s, batch, &recipe, &g);
    bool moves = tern_cli_has(cli, "method");
    if (status == TERN_OK) status = check_method(cli, moves);
    bool windows = tern_cli_has(cli, "superpipeline");
    tern_plan_options wanted = {.memory = moves || windows ? 0 : (size_t)tern_cli_number(cli, "memory"),
                                .reference = tern_cli_has(cli, "reference"),
                                .early = windows && tern_cli_has(cli, "train"),
                                .keep_order = moves && tern_cli_pick(cli, "schedule") == 0,
                                .compact = tern_cli_has(cli, "reference")};
    if (status == TERN_OK) status = tern_plan(&p, g, &wanted);
    if (status == TERN_OK)
        status = windows ? tern_plan_windows(cli, p, &s.store)
                 : moves ? tern_plan_moves(cli, p, &wanted)
                         : print(cli, p);
    tern_program_close(p);
    tern_graph_close(g);
    tern_subject_close(&s);
    return status;
}

static const tern_exclusion exclusions[] = {
    {"train", "stepping", "training takes all time steps at once"},
    {"input", "data", "both say what a sample looks like"},
    {"superpipeline", "method", "one moves parameters layer by layer, the other every tensor"},
    {0},
};

const tern_command tern_command_plan = {
    .name = "plan",
    .about = "plan the memory of a net: every buffer, the exact arena, and what does not fit",
    .usage = "NET|RUN|NET.onnx|NET.tflite",
    .more =
        "tern plan spiking-cnn --train --batch 64 --memory 200M\n"
        "tern plan spiking-vgg --train --rule sltt --timesteps 32      # memory that does not grow with T\n"
        "tern plan vgg --timesteps 1 --stepping                        # no membranes: nothing is carried\n"
        "tern plan mobilenet-int8 --train --update bias=6,conv24=0.5,head   # learning on a device\n"
        "tern plan net.tflite --train --update bias=6,head             # of your own net in bytes\n"
        "tern plan mcuformer-int8 --depth 1 --machine stm32f746 --tile tokens=auto   # which step overwrites "
        "what\n"
        "tern plan mobilenet --method cosma-fs --bytes int8 --memory 40KiB  # what must leave and return\n"
        "tern plan lenet --method belady --memory 20KiB --execute      # run it: the same bits in less "
        "memory\n"
        "tern plan vit --superpipeline auto --memory 120M             # which window of layers is worth it\n"
        "tern plan lenet --method cosma-fs --track act+param --execute  # parameters come when they are used",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .net_options = true,
    .run = run_plan,
};
