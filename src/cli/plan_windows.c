/* Windows of layers as a table. */
#include "cli/plan_windows.h"

#include "cli/plan_moves.h"
#include "cli/window.h"
#include "train/window.h"

#include <math.h>
#include <string.h>

enum { RUNS = 5 };

/* What a run waits for. */
static const char *bound_of(const tern_window_choice *c, const tern_window_measured *m)
{
    double copying = c->copied / m->rate;
    if (c->copied == 0) return "computing";
    if (c->seconds <= 1.05 * m->run * m->times.compute_slower && copying < m->run) return "computing";
    return c->seconds <= 1.1 * copying * m->times.copy_slower ? "copying" : "room for both";
}

static void add_row(tern_grid *t, const tern_window_choice *c, const tern_window_measured *m, double others,
                    double all, bool chosen)
{
    char layers[24], fast[24], copied[24];
    tern_grid_row(t, "%d,%d|%s|%s|%.0f %%|%.2f|%.2f|%s|%s|%s", c->window, c->moved,
                  tern_human(layers, c->bytes, "B"), tern_human(fast, c->bytes + others, "B"),
                  100 * (c->bytes + others) / (all + others), 1e3 * c->seconds, c->seconds / m->run,
                  tern_human(copied, c->copied, "B"), bound_of(c, m), chosen ? "<" : "");
}

static json_t *choice_json(const tern_window_choice *c, const tern_window_measured *m, double others)
{
    return json_pack("{s:i,s:i,s:f,s:f,s:f,s:f,s:s}", "window", c->window, "moved", c->moved, "layer_bytes",
                     c->bytes, "fast_bytes", c->bytes + others, "seconds", c->seconds, "copied_bytes",
                     c->copied, "bound", bound_of(c, m));
}

static tern_status print_json(const tern_windows *w, const tern_window_choice *choices, int count, int chosen,
                              const tern_window_measured *m, double others)
{
    json_t *all = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(all, choice_json(&choices[i], m, others));
    return tern_print_json(json_pack(
        "{s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:o,s:o}", "layers", w->count, "layer_bytes", tern_windows_bytes(w),
        "other_bytes", others, "seconds", m->run, "copy_bytes_per_second", m->rate, "compute_slower",
        m->times.compute_slower, "copy_slower", m->times.copy_slower, "windows", all, "chosen",
        chosen < 0 ? json_null() : choice_json(&choices[chosen], m, others)));
}

static tern_status print_table(const tern_windows *w, const tern_window_choice *choices, int count,
                               int chosen, const tern_window_measured *m, double others, double limit,
                               FILE *out)
{
    char a[24], b[24], c[24];
    tern_grid t = {0};
    double all = tern_windows_bytes(w);
    fprintf(
        out,
        "%d layers of %s, %s beside them; a run takes %.2f ms when all are there; layers are copied at %s/s; "
        "while both go on, computing takes %.2f times as long and copying %.2f times\n",
        w->count, tern_human(a, all, "B"), tern_human(b, others, "B"), 1e3 * m->run,
        tern_human(c, m->rate, "B"), m->times.compute_slower, m->times.copy_slower);
    tern_grid_row(&t, "K,M|layers|fast memory|of all|ms a run|times|copied in a run|bound by|");
    for (int i = 0; i < count; i++) add_row(&t, &choices[i], m, others, all, i == chosen);
    tern_status status = tern_grid_print(&t, out);
    tern_grid_free(&t);
    if (chosen < 0)
        fprintf(out, "no window fits in %s\n", tern_human(a, limit, "B"));
    else if (limit > 0)
        fprintf(out, "< the fastest in %s, or within 1 %% of it with fewer bytes: --superpipeline %d,%d\n",
                tern_human(a, limit, "B"), choices[chosen].window, choices[chosen].moved);
    else
        fprintf(out,
                "< the fewest bytes within 5 %% of the fastest that does not hold all layers: "
                "--superpipeline %d,%d\n",
                choices[chosen].window, choices[chosen].moved);
    return status;
}

tern_status tern_show_windows(const tern_cli *cli, const tern_windows *windows,
                              const tern_window_measured *measured, double others, double limit,
                              tern_window_choice *chosen, FILE *out)
{
    tern_window_choice *choices;
    int count, best = -1;
    *chosen = (tern_window_choice){0};
    TERN_TRY(tern_windows_search(windows, &measured->times, &choices, &count));
    if (limit <= 0 || limit > others)
        best = tern_windows_choose(choices, count, limit > 0 ? limit - others : 0);
    if (best >= 0) *chosen = choices[best];
    tern_status status = TERN_OK;
    if (out == stdout && cli->json)
        status = print_json(windows, choices, count, best, measured, others);
    else if (!cli->quiet || out == stdout)
        status = print_table(windows, choices, count, best, measured, others, limit, out);
    tern_release(choices);
    return status;
}

/* The window that is named, beside the one that holds all. */
static tern_status show_one(const tern_cli *cli, const tern_windows *w, const tern_window_measured *m,
                            double others)
{
    tern_window_choice choices[2] = {{.window = w->count, .moved = 1, .seconds = m->run}, {0}};
    tern_window_schedule s;
    bool slack;
    TERN_TRY(tern_cli_window(cli, &choices[1].window, &choices[1].moved, &slack));
    TERN_TRY(tern_windows_schedule(w, choices[1].window, choices[1].moved, &s));
    choices[0].bytes = tern_windows_bytes(w);
    choices[1].bytes = (double)s.most;
    choices[1].seconds = tern_windows_seconds(w, &s, &m->times);
    choices[1].copied = tern_windows_copied(w, &s);
    tern_window_schedule_free(&s);
    if (cli->json) return print_json(w, choices, 2, 1, m, others);
    tern_grid t = {0};
    tern_grid_row(&t, "K,M|layers|fast memory|of all|ms a run|times|copied in a run|bound by|");
    for (int i = 0; i < 2; i++) add_row(&t, &choices[i], m, others, choices[0].bytes, false);
    tern_status status = tern_grid_print(&t, stdout);
    tern_grid_free(&t);
    return status;
}

static tern_status show(const tern_cli *cli, const tern_program *program, const tern_windows *w,
                        const tern_window_measured *m)
{
    tern_step_need need;
    tern_window_choice chosen;
    double limit = tern_cli_has(cli, "memory") ? tern_cli_number(cli, "memory") : 0;
    TERN_TRY(tern_step_needs(program, w, &need));
    double others = need.arena + need.rest + need.inputs;
    if (strcmp(tern_cli_text(cli, "superpipeline"), "auto") != 0) return show_one(cli, w, m, others);
    TERN_TRY(tern_show_windows(cli, w, m, others, limit, &chosen, stdout));
    char a[24], b[24];
    if (chosen.window) return TERN_OK;
    return tern_fail(TERN_NO_FIT,
                     "does not fit: the budget is %s, beside the layers %s are needed; a smaller "
                     "--batch needs less",
                     tern_human(a, limit, "B"), tern_human(b, others, "B"));
}

tern_status tern_plan_windows(const tern_cli *cli, const tern_program *program, tern_store *store)
{
    tern_windows w;
    tern_session *session = NULL;
    tern_bundle inputs = {0};
    tern_window_measured m;
    TERN_TRY(tern_windows_of(program, &w));
    tern_status status = tern_made_inputs(program->graph, &inputs);
    if (status == TERN_OK) status = tern_session_open(&session, program, store, cli->pool);
    for (int i = 0; status == TERN_OK && i < inputs.count; i++)
        status = tern_session_bind(session, inputs.names[i], inputs.tensors[i].data);
    tern_window_subject subject = {
        .windows = &w, .program = program, .session = session, .store = store, .runs = RUNS};
    if (status == TERN_OK) {
        status = tern_windows_measure(&subject, &m);
        if (status == TERN_OK) {
            status = show(cli, program, &w, &m);
            tern_window_measured_free(&m);
        }
    }
    tern_session_close(session);
    tern_bundle_free(&inputs);
    tern_windows_free(&w);
    return status;
}
