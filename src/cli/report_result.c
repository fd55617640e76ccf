/* What the net does on the test images: which classes it confuses, examples, and how much its neurons fire. */
#include "cli/report.h"

#include <math.h>
#include <string.h>

static const char *class_name(const json_t *eval, size_t index, char number[24])
{
    const char *name = json_string_value(json_array_get(json_object_get(eval, "classes"), index));
    snprintf(number, 24, "%zu", index);
    return name ? name : number;
}

static double count_at(const json_t *confusion, size_t row, size_t column)
{
    return json_number_value(json_array_get(json_array_get(confusion, row), column));
}

static double row_sum(const json_t *confusion, size_t row)
{
    double sum = 0;
    for (size_t c = 0; c < json_array_size(confusion); c++) sum += count_at(confusion, row, c);
    return sum;
}

/* Share of a row: right ones in blue, mistakes in a warm colour that is stretched four times, as they are rare. */
static void matrix_cell(tern_text *page, double count, double share, bool right, bool numbers)
{
    double depth = right ? 0.12 + 0.88 * share * share : fmin(1, 4 * share);
    const char *style = right ? "right" : "wrong";
    if (count > 0)
        tern_text_format(page, "<td class=\"%s%s\" style=\"--d:%.2f\" title=\"%.0f\">", style,
                         depth > 0.6 ? " hot" : "", depth, count);
    else
        tern_text_put(page, "<td>");
    if (numbers && share > 0.005) tern_text_format(page, "%.0f", 100 * share);
    tern_text_put(page, "</td>");
}

static void matrix(tern_text *page, const json_t *eval, size_t classes)
{
    const json_t *confusion = json_object_get(eval, "confusion");
    char number[24];
    bool numbers = classes <= 20;
    tern_text_format(page, "<div class=\"wide\"><table class=\"matrix%s\"><thead><tr><th></th>",
                     numbers ? "" : " small");
    for (size_t c = 0; c < classes; c++) {
        tern_text_put(page, "<th><div>");
        tern_html_escape(page, class_name(eval, c, number));
        tern_text_put(page, "</div></th>");
    }
    tern_text_put(page, "</tr></thead><tbody>");
    for (size_t r = 0; r < classes; r++) {
        double sum = row_sum(confusion, r);
        tern_text_put(page, "<tr><th>");
        tern_html_escape(page, class_name(eval, r, number));
        tern_text_put(page, "</th>");
        for (size_t c = 0; c < classes; c++) {
            double count = count_at(confusion, r, c);
            matrix_cell(page, count, sum > 0 ? count / sum : 0, r == c, numbers);
        }
        tern_text_put(page, "</tr>\n");
    }
    tern_text_put(page, "</tbody></table></div>");
}

/* The most frequent mistakes, in words. */
static void frequent(tern_text *page, const json_t *eval, size_t classes)
{
    const json_t *confusion = json_object_get(eval, "confusion");
    double below = INFINITY;
    size_t behind = 0; /* among equal counts: cells up to here are done */
    char a[24], b[24];
    tern_text_put(page, "<div><h3>Most frequent mistakes</h3><ol>");
    for (int rank = 0; rank < 7; rank++) {
        double best = 0;
        size_t at = 0;
        for (size_t i = 0; i < classes * classes; i++) {
            double count = i / classes == i % classes ? 0 : count_at(confusion, i / classes, i % classes);
            if (count > best && (count < below || (count == below && i > behind))) best = count, at = i;
        }
        if (best == 0) break;
        below = best;
        behind = at;
        tern_text_put(page, "<li>");
        tern_html_escape(page, class_name(eval, at / classes, a));
        tern_text_put(page, " taken for ");
        tern_html_escape(page, class_name(eval, at % classes, b));
        tern_text_format(page, " <span class=\"soft\">%.0f of %.0f</span></li>", best,
                         row_sum(confusion, at / classes));
    }
    tern_text_put(page, "</ol></div>");
}

void tern_report_confusion(tern_text *page, const json_t *eval)
{
    size_t classes = json_array_size(json_object_get(eval, "confusion"));
    if (classes == 0) return;
    tern_html_section(
        page, "What is taken for what",
        "Rows are the true class, columns what the net said, cells the share of the row in percent. "
        "Right answers are blue; mistakes are orange, with their colour stretched four times.");
    if (classes <= 64) tern_text_put(page, "<div class=\"split\">");
    if (classes <= 64) matrix(page, eval, classes);
    frequent(page, eval, classes);
    tern_text_put(page, classes <= 64 ? "</div></section>\n" : "</section>\n");
}

/* ---- samples ------------------------------------------------------------------------------------------------------ */

/* Pixel of a sample [C,H,W], or the mean over T of [T,C,H,W]. */
static double pixel(const json_t *sample, size_t steps, size_t channels, size_t plane, size_t channel,
                    size_t at)
{
    const json_t *pixels = json_object_get(sample, "pixels");
    double sum = 0;
    for (size_t t = 0; t < steps; t++)
        sum += json_number_value(json_array_get(pixels, (t * channels + channel) * plane + at));
    return sum / (double)steps;
}

/* Grey, colour, or the two polarities of an event camera in red and blue, as a data URI. */
static tern_status sample_image(tern_text *page, const json_t *sample)
{
    const json_t *shape = json_object_get(sample, "shape");
    size_t rank = json_array_size(shape), dim[4] = {1, 1, 1, 1};
    for (size_t i = 0; i < rank; i++)
        dim[4 - rank + i] = (size_t)json_integer_value(json_array_get(shape, i));
    size_t steps = dim[0], channels = dim[1], plane = dim[2] * dim[3], shown = channels >= 2 ? 3 : 1;
    uint8_t *bytes = tern_take_array(plane, shown);
    if (!bytes) return tern_no_memory(plane * shown, "a sample image");
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < shown; c++) {
            bool empty = channels == 2 && c == 1;
            size_t from = channels == 2 && c == 2 ? 1 : c;
            bytes[i * shown + c] =
                empty ? 0 : (uint8_t)lround(pixel(sample, steps, channels, plane, from, i));
        }
    tern_text png = {0};
    tern_status status = tern_png_encode(&png, bytes, (int)dim[3], (int)dim[2], (int)shown);
    if (status == TERN_OK) tern_base64(page, png.data, png.size);
    tern_release(bytes);
    tern_text_free(&png);
    return status;
}

static tern_status one_sample(tern_text *page, const json_t *eval, const json_t *sample)
{
    size_t label = (size_t)tern_number_in(sample, "label"),
           said = (size_t)tern_number_in(sample, "predicted");
    char number[24];
    const json_t *probability = json_array_get(json_object_get(sample, "probabilities"), said);
    tern_text_format(page,
                     "<div class=\"sample%s\"><img alt=\"test image %.0f\" src=\"data:image/png;base64,",
                     label == said ? "" : " wrong", tern_number_in(sample, "index"));
    TERN_TRY(sample_image(page, sample));
    tern_text_put(page, "\"><b>");
    tern_html_escape(page, class_name(eval, said, number));
    tern_text_put(page, "</b>");
    if (probability) tern_text_format(page, " %.0f%%", 100 * json_number_value(probability));
    if (label != said) {
        tern_text_put(page, "<span>is ");
        tern_html_escape(page, class_name(eval, label, number));
        tern_text_put(page, "</span>");
    }
    tern_text_put(page, "</div>");
    return TERN_OK;
}

tern_status tern_report_samples(tern_text *page, const json_t *eval)
{
    const json_t *samples = json_object_get(eval, "samples");
    if (json_array_size(samples) == 0) return TERN_OK;
    tern_html_section(page, "What it sees and says",
                      "Images of the test set, what the net says and how sure it is. Mistakes are framed.");
    tern_text_put(page, "<div class=\"samples\">");
    for (size_t i = 0; i < json_array_size(samples); i++)
        TERN_TRY(one_sample(page, eval, json_array_get(samples, i)));
    tern_text_put(page, "</div></section>\n");
    return TERN_OK;
}

/* ---- activity ----------------------------------------------------------------------------------------------------- */

void tern_report_activity(tern_text *page, const json_t *eval)
{
    const json_t *layers = json_object_get(eval, "layers");
    double most = 0;
    for (size_t i = 0; i < json_array_size(layers); i++)
        most = fmax(most, tern_number_in(json_array_get(layers, i), "spikes_per_neuron"));
    if (most <= 0) return;
    tern_html_section(
        page, "How much its neurons fire",
        "Spikes per neuron and image, all time steps together: each one makes the next layer add a row "
        "of weights, and silence costs nothing.");
    tern_text_put(page, "<div class=\"bars\">");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *layer = json_array_get(layers, i);
        double spikes = tern_number_in(layer, "spikes_per_neuron"),
               neurons = tern_number_in(layer, "neurons");
        char name[128], count[24], value[32];
        if (neurons <= 0) continue;
        snprintf(name, sizeof name, "%s, %s neurons", tern_text_in(layer, "name"),
                 tern_human(count, neurons, ""));
        snprintf(value, sizeof value, "%.3f", spikes);
        tern_html_bar(page, name, spikes / most, value, "");
    }
    tern_text_put(page, "</div></section>\n");
}
