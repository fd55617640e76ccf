/* Training in windows of layers. */
#include "train/window.h"

tern_status tern_step_needs(const tern_program *program, const tern_windows *windows, tern_step_need *need)
{
    tern_memory_need all;
    TERN_TRY(tern_program_memory(program, &all));
    double layers = 0;
    for (int i = 0; i < windows->count; i++)
        for (int k = 0; k < windows->layers[i].count; k++)
            layers += (double)windows->layers[i].parts[k].bytes;
    *need = (tern_step_need){all.arena, all.weights + all.state - layers, all.inputs};
    return TERN_OK;
}

static double total(const tern_step_need *n)
{
    return n->arena + n->rest + n->inputs;
}

static tern_status window_bytes(const tern_windows *windows, int window, int moved, double *bytes)
{
    tern_window_schedule s;
    TERN_TRY(tern_windows_schedule(windows, window, moved, &s));
    *bytes = (double)s.most;
    tern_window_schedule_free(&s);
    return TERN_OK;
}

/* The largest window that fits beside the rest, half of it changing places at once; *window 0: none does, and *least is what one
 * layer at a time takes. */
static tern_status largest_window(const tern_windows *windows, double memory, const tern_step_need *need,
                                  int *window, double *least)
{
    for (int k = windows->count; k > 0; k--) {
        TERN_TRY(window_bytes(windows, k, k > 1 ? k / 2 : 1, least));
        *window = k;
        if (total(need) + *least <= memory) return TERN_OK;
    }
    *window = 0;
    return TERN_OK;
}

static tern_status no_fit(const tern_step_need *need, double memory, double layer, int layers)
{
    char text[6][24];
    return tern_fail(
        TERN_NO_FIT,
        "does not fit: the budget is %s, and even with one of %d layers at a time a training step "
        "takes %s: arena %s, the largest layer %s, parameters and states of no layer %s, inputs "
        "%s; a smaller --batch has a smaller arena",
        tern_human(text[0], memory, "B"), layers, tern_human(text[1], total(need) + layer, "B"),
        tern_human(text[2], need->arena, "B"), tern_human(text[3], layer, "B"),
        tern_human(text[4], need->rest, "B"), tern_human(text[5], need->inputs, "B"));
}

/* The window for the memory that there is.  *limit: of the arena, where values must be computed again for a window of one. */
static tern_status choose(const tern_program *program, tern_training_window *w, size_t *limit)
{
    tern_windows windows;
    tern_step_need need;
    double least = 0;
    *limit = 0;
    TERN_TRY(tern_windows_of(program, &windows));
    tern_status status = tern_step_needs(program, &windows, &need);
    if (status == TERN_OK) status = largest_window(&windows, w->memory, &need, &w->window, &least);
    w->moved = w->window > 1 ? w->window / 2 : 1;
    if (status == TERN_OK && !w->window) {
        double room = w->memory - (total(&need) - need.arena) - least;
        status = room > 0 ? TERN_OK : no_fit(&need, w->memory, least, windows.count);
        w->window = 1;
        *limit = room > 0 ? (size_t)room : 0;
    }
    tern_windows_free(&windows);
    return status;
}

static tern_status open_model(const tern_training *t, const tern_shape *sample, size_t limit,
                              tern_store *store, tern_pool *pool, tern_model *model)
{
    return tern_model_open_planned(model, t->net, t->parameters, sample, t->recipe.batch, &t->recipe,
                                   &(tern_plan_options){.early = true, .memory = limit}, store, pool);
}

static void forget(void *context, const void *data, size_t bytes)
{
    (void)context;
    tern_forget_pages(data, bytes);
}

static tern_status tell_rest(const tern_program *program, tern_training_memory *memory)
{
    tern_windows windows;
    tern_step_need need;
    TERN_TRY(tern_windows_of(program, &windows));
    tern_status status = tern_step_needs(program, &windows, &need);
    tern_windows_free(&windows);
    if (status == TERN_OK) memory->rest = need.rest;
    return status;
}

tern_status tern_training_open_windows(const tern_training *training, const tern_shape *sample,
                                       tern_store *store, tern_pool *pool, tern_model *model,
                                       tern_pager **pager)
{
    tern_training_window w = training->window;
    size_t limit = 0;
    TERN_TRY(open_model(training, sample, 0, store, pool, model));
    if (w.memory > 0) TERN_TRY(choose(model->program, &w, &limit));
    if (limit) {
        char text[24];
        tern_model_close(model);
        tern_status status = open_model(training, sample, limit, store, pool, model);
        if (status != TERN_OK)
            return tern_in(status, "in %s, with one layer at a time", tern_human(text, w.memory, "B"));
    }
    bool in_file = store->file > 0;
    TERN_TRY(tern_pager_open(
        pager, model->program, store,
        &(tern_pager_options){
            .window = w.window, .moved = w.moved, .slack = w.slack, .copied = in_file ? forget : NULL}));
    tern_store_forget(store);
    if (training->memory) TERN_TRY(tell_rest(model->program, training->memory));
    return tern_session_page(model->session, *pager);
}

void tern_training_remembers(const tern_training *training, const tern_model *model, const tern_pager *pager)
{
    tern_training_memory *m = training->memory;
    if (!m || !pager) return;
    m->arena = (double)model->program->arena_bytes;
    tern_pager_reports(pager, &m->layers);
}
