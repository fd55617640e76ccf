/* The page: headline, curves, sections, and how to make the run again. */
#include "cli/report.h"

#include <math.h>
#include <string.h>

static void tile(tern_text *page, const char *value, const char *what)
{
    tern_text_format(page, "<div class=\"tile\"><b>%s</b><span>", value);
    tern_html_escape(page, what);
    tern_text_put(page, "</span></div>");
}

static void quantity_tile(tern_text *page, double value, const char *unit, const char *what)
{
    tern_text text = {0};
    tern_html_quantity(&text, value, unit);
    tile(page, text.data ? text.data : "", what);
    tern_text_free(&text);
}

/* The machine that fits and takes the least energy. */
static const json_t *thriftiest(const json_t *cost)
{
    const json_t *machines = json_object_get(cost, "machines"), *best = NULL;
    for (size_t i = 0; i < json_array_size(machines); i++) {
        const json_t *m = json_array_get(machines, i);
        double joules = tern_number_in(m, "energy_joules");
        bool fits = json_is_true(json_object_get(m, "fits")) && joules > 0;
        if (fits && (!best || joules < tern_number_in(best, "energy_joules"))) best = m;
    }
    return best;
}

static double training_seconds(const json_t *history)
{
    double seconds = 0;
    for (size_t i = 0; i < json_array_size(history); i++)
        seconds += tern_number_in(json_array_get(history, i), "seconds");
    return seconds;
}

static void headline(tern_text *page, const tern_report *r)
{
    char text[64];
    tern_text_put(page, "<div class=\"tiles\">");
    if (r->eval) {
        snprintf(text, sizeof text, "%.2f%%", 100 * tern_number_in(r->eval, "accuracy"));
        tile(page, text, "test accuracy");
    }
    const json_t *best = thriftiest(r->cost), *work = json_object_get(r->cost, "work");
    if (best) {
        snprintf(text, sizeof text, "an image on %.40s", tern_text_in(best, "machine"));
        quantity_tile(page, tern_number_in(best, "energy_joules"), "J", text);
    }
    if (work) {
        double macs = tern_number_in(work, "macs"), adds = tern_number_in(work, "accumulates");
        double share = macs + adds > 0 ? 100 * adds / (macs + adds) : 0;
        snprintf(text, sizeof text,
                 share > 0 ? "operations an image, %.0f%% only additions" : "operations an image", share);
        quantity_tile(page, macs + adds, "", text);
    }
    if (tern_number_in(r->eval, "spikes_per_neuron") > 0) {
        snprintf(text, sizeof text, "%.3f", tern_number_in(r->eval, "spikes_per_neuron"));
        tile(page, text, "spikes per neuron and image");
    }
    if (json_array_size(r->history)) {
        double seconds = training_seconds(r->history);
        char what[64];
        const char *format = seconds < 120 ? "%.0f s" : seconds < 7200 ? "%.1f min" : "%.1f h";
        snprintf(text, sizeof text, format, seconds / (seconds < 120 ? 1 : seconds < 7200 ? 60 : 3600));
        snprintf(what, sizeof what, "training, %zu epoch%s", json_array_size(r->history),
                 json_array_size(r->history) == 1 ? "" : "s");
        tile(page, text, what);
    }
    tern_text_put(page, "</div>\n");
}

/* y[i] = history[i].name, NaN where it is absent; true when there is a value at all. */
static bool column(const json_t *history, const char *name, double *y)
{
    bool any = false;
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *value = json_object_get(json_array_get(history, i), name);
        y[i] = json_is_number(value) ? json_number_value(value) : NAN;
        any = any || (isfinite(y[i]) && y[i] != 0);
    }
    return any;
}

/* A chart of one or two columns; nothing when the history has neither. */
static void curve(tern_text *page, const json_t *history, double *y, const char *title, const char *first,
                  const char *second, bool percent)
{
    size_t count = json_array_size(history);
    tern_line_chart c = {
        .title = title, .x = y, .count = (int)count, .percent = percent, .from_zero = !percent};
    column(history, "epoch", y);
    for (int s = 0; s < 2; s++) {
        double *values = y + (size_t)(s + 1) * count;
        const char *name = s ? second : first;
        if (!name || !column(history, name, values)) continue;
        const char *label = strncmp(name, "train_", 6) == 0  ? "training"
                            : strncmp(name, "test_", 5) == 0 ? "test"
                                                             : "mean";
        c.series[c.series_count++] = (tern_series){label, s ? "two" : "one", values};
    }
    if (c.series_count) tern_html_lines(page, &c);
}

tern_status tern_report_training(tern_text *page, const tern_report *r)
{
    size_t count = json_array_size(r->history);
    if (count == 0) return TERN_OK;
    double *y = tern_take_array(3 * count, sizeof *y);
    if (!y) return tern_no_memory(3 * count * sizeof *y, "curves");
    tern_html_section(page, "Training", NULL);
    tern_text_put(page, "<div class=\"charts\">");
    curve(page, r->history, y, "Accuracy", "train_accuracy", "test_accuracy", true);
    curve(page, r->history, y, "Loss", "train_loss", "test_loss", false);
    curve(page, r->history, y, "Spikes per neuron", "spikes_per_neuron", NULL, false);
    tern_text_put(page, "</div></section>\n");
    tern_release(y);
    return TERN_OK;
}

static void fact(tern_text *page, const char *name, const json_t *value)
{
    if (!json_is_number(value) && !json_is_string(value) && !json_is_boolean(value)) return;
    tern_text_put(page, "<div><dt>");
    tern_html_escape(page, name);
    tern_text_put(page, "</dt><dd>");
    if (json_is_string(value))
        tern_html_escape(page, json_string_value(value));
    else if (json_is_boolean(value))
        tern_text_put(page, json_is_true(value) ? "yes" : "no");
    else
        tern_text_format(page, "%.10g", json_number_value(value));
    tern_text_put(page, "</dd></div>");
}

static void facts(tern_text *page, const char *title, json_t *object)
{
    const char *name;
    json_t *value;
    if (json_object_size(object) == 0) return;
    if (title) tern_text_format(page, "<h3 style=\"margin-top:16px\">%s</h3>", title);
    tern_text_put(page, "<dl class=\"facts\">");
    json_object_foreach(object, name, value) if (strcmp(name, "command") != 0) fact(page, name, value);
    tern_text_put(page, "</dl>");
}

static void configuration(tern_text *page, const json_t *config)
{
    tern_html_section(page, "The run",
                      "Everything that decides its outcome; the same command gives the same bits.");
    if (*tern_text_in(config, "command")) {
        tern_text_put(page, "<pre>");
        tern_html_escape(page, tern_text_in(config, "command"));
        tern_text_put(page, "</pre>");
    }
    facts(page, NULL, (json_t *)config);
    facts(page, "Parameters of the net", json_object_get(config, "parameters"));
    facts(page, "Training recipe", json_object_get(config, "recipe"));
    tern_text_put(page, "</section>\n");
}

static void head(tern_text *page, const tern_report *r)
{
    const char *net = *tern_text_in(r->config, "net") ? tern_text_in(r->config, "net") : r->folder;
    tern_text_put(page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    tern_html_escape(page, net);
    tern_text_put(page, " &ndash; Tern report</title><style>");
    for (int i = 0; tern_report_style[i]; i++) tern_text_put(page, tern_report_style[i]);
    tern_text_put(page, "</style></head><body><main>\n<div class=\"brand\">Tern report</div><h1>");
    tern_html_escape(page, net);
    tern_text_put(page, "</h1><p class=\"soft\">");
    const tern_net *known = tern_net_find(net);
    if (known) tern_html_escape(page, known->doc);
    if (known && *tern_text_in(r->config, "data")) tern_text_put(page, ", ");
    if (*tern_text_in(r->config, "data")) tern_text_put(page, "trained on ");
    tern_html_escape(page, tern_text_in(r->config, "data"));
    tern_text_put(page, "</p>\n");
}

tern_status tern_report_page(tern_text *page, const tern_report *r)
{
    head(page, r);
    headline(page, r);
    if (json_array_size(r->history))
        TERN_TRY(tern_report_training(page, r));
    else
        tern_html_missing(page, "Training", "tern train NET -o", r->folder);
    if (r->cost)
        TERN_TRY(tern_report_machines(page, r->cost));
    else
        tern_html_missing(page, "What one image costs", "tern cost", r->folder);
    if (r->eval) {
        tern_report_activity(page, r->eval);
        tern_report_confusion(page, r->eval);
        TERN_TRY(tern_report_samples(page, r->eval));
    } else {
        tern_html_missing(page, "Mistakes, examples, activity", "tern eval", r->folder);
    }
    if (r->cost) tern_report_layers(page, r->cost);
    if (r->config) configuration(page, r->config);
    tern_text_format(page, "<footer>Made by tern %s from ", TERN_VERSION);
    tern_html_escape(page, r->folder);
    tern_text_put(page, "</footer></main></body></html>\n");
    return tern_text_status(page);
}
