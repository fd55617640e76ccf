/* Windows of tokens through one program. */
#include "llm/window.h"

#include "llm/adapter.h"

#include <math.h>

struct tern_text_window {
    const tern_transformer *transformer;
    int tokens;
    tern_graph *graph;
    tern_program *program;
    tern_store store;
    tern_session *session;
    int32_t *ids, *places, *seen; /* [tokens] */
};

void tern_window_close(tern_text_window *window)
{
    if (!window) return;
    tern_session_close(window->session);
    tern_program_close(window->program);
    tern_graph_close(window->graph);
    tern_store_close(&window->store);
    tern_release(window->ids);
    tern_release(window->places);
    tern_release(window->seen);
    tern_release(window);
}

static tern_status open_window(tern_text_window *w, tern_pool *pool)
{
    const tern_transformer *t = w->transformer;
    tern_feed feed = {.rows = w->tokens, .cache = TERN_F32};
    w->ids = tern_take_array((size_t)w->tokens, sizeof *w->ids);
    w->places = tern_take_array((size_t)w->tokens, sizeof *w->places);
    w->seen = tern_take_array((size_t)w->tokens, sizeof *w->seen);
    if (!w->ids || !w->places || !w->seen)
        return tern_no_memory((size_t)w->tokens * sizeof *w->ids, "a window of tokens");
    for (int i = 0; i < w->tokens; i++) {
        w->places[i] = i;
        w->seen[i] = w->tokens - 1;
    }
    for (int i = 0; i < t->weights->count; i++)
        TERN_TRY(tern_store_lend(&w->store, t->weights->names[i], t->weights->tensors[i]));
    TERN_TRY(tern_adapters_lend(t, &w->store));
    TERN_TRY(tern_graph_open(&w->graph, &(tern_graph_options){0}));
    feed.tokens = tern_input(w->graph, "tokens", TERN_I32, TERN_SHAPE(w->tokens));
    feed.positions = tern_input(w->graph, "positions", TERN_I32, TERN_SHAPE(w->tokens));
    feed.wanted = tern_input(w->graph, "wanted", TERN_I32, TERN_SHAPE(w->tokens));
    if (t->architecture->encoder) feed.seen = tern_input(w->graph, "seen", TERN_I32, TERN_SHAPE(w->tokens));
    tern_output(w->graph, "logits", t->architecture->build(w->graph, t, &feed));
    TERN_TRY(tern_graph_status(w->graph));
    TERN_TRY(tern_adapters_check(t, w->graph));
    TERN_TRY(tern_plan(&w->program, w->graph, NULL));
    TERN_TRY(tern_session_open(&w->session, w->program, &w->store, pool));
    TERN_TRY(tern_session_bind(w->session, "tokens", w->ids));
    TERN_TRY(tern_session_bind(w->session, "positions", w->places));
    if (t->architecture->encoder) TERN_TRY(tern_session_bind(w->session, "seen", w->seen));
    return tern_session_bind(w->session, "wanted", w->places);
}

tern_status tern_window_open(tern_text_window **window, const tern_transformer *transformer, int tokens,
                             tern_pool *pool)
{
    tern_text_window *w = tern_take(sizeof *w);
    if (!w) return tern_no_memory(sizeof *w, "a window of tokens");
    *w = (tern_text_window){.transformer = transformer, .tokens = tokens};
    tern_status status = open_window(w, pool);
    if (status == TERN_OK)
        *window = w;
    else
        tern_window_close(w);
    return status;
}

tern_status tern_window_output(const tern_text_window *window, const char *name, tern_tensor *out)
{
    return tern_session_output(window->session, name, out);
}

tern_status tern_window_run(tern_text_window *window, const int32_t *tokens, const float **logits)
{
    tern_tensor out;
    for (int i = 0; i < window->tokens; i++) {
        window->ids[i] = tokens[i];
        if (tokens[i] < 0 || tokens[i] >= window->transformer->vocabulary)
            return tern_fail(TERN_USAGE, "token %d is %d, expected 0 to %d", i, tokens[i],
                             window->transformer->vocabulary - 1);
    }
    TERN_TRY(tern_session_run(window->session, 0));
    TERN_TRY(tern_window_output(window, "logits", &out));
    *logits = out.data;
    return TERN_OK;
}

tern_status tern_window_loss(tern_text_window *window, const int32_t *tokens, int first, double *sum,
                             int64_t *count)
{
    const float *logits;
    int vocabulary = window->transformer->vocabulary;
    if (window->transformer->architecture->encoder)
        return tern_fail(TERN_USAGE, "%s is an encoder: it has no next tokens",
                         window->transformer->architecture->name);
    TERN_TRY(tern_window_run(window, tokens, &logits));
    for (int i = first - 1; i + 1 < window->tokens; i++) {
        const float *row = logits + (int64_t)i * vocabulary;
        float most = row[0];
        double all = 0;
        for (int v = 1; v < vocabulary; v++) most = row[v] > most ? row[v] : most;
        for (int v = 0; v < vocabulary; v++) all += (double)expf(row[v] - most);
        *sum += (all > 1 ? log(all) : 0) + (double)most - (double)row[tokens[i + 1]];
        ++*count;
    }
    return TERN_OK;
}

tern_status tern_embed_text(const tern_transformer *transformer, const int32_t *tokens, int count,
                            tern_pooling pooling, bool unit, tern_pool *pool, float *out)
{
    tern_text_window *window = NULL;
    const float *rows = NULL;
    int width = transformer->width;
    double squares = 0;
    if (!transformer->architecture->encoder)
        return tern_fail(TERN_USAGE, "%s is no encoder: embeddings come from bert",
                         transformer->architecture->name);
    if (count < 1 || count > transformer->context)
        return tern_fail(TERN_USAGE, "%d tokens, expected 1 to %d", count, transformer->context);
    tern_status status = tern_window_open(&window, transformer, count, pool);
    if (status == TERN_OK) status = tern_window_run(window, tokens, &rows);
    for (int i = 0; status == TERN_OK && i < width; i++) {
        double sum = 0;
        for (int s = 0; pooling == TERN_POOL_MEAN && s < count; s++) sum += (double)rows[s * width + i];
        out[i] = pooling == TERN_POOL_MEAN ? (float)(sum / count) : rows[i];
        squares += (double)out[i] * (double)out[i];
    }
    for (int i = 0; status == TERN_OK && unit && squares > 0 && i < width; i++)
        out[i] = (float)((double)out[i] / sqrt(squares));
    tern_window_close(window);
    return status;
}
