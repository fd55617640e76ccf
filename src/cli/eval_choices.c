/* tern eval MODEL --choices FILE: multiple-choice questions answered by the likelihood of each choice. */
#include "cli/eval.h"

#include "cli/language.h"
#include "cli/published.h"
#include "llm/choices.h"
#include "llm/models.h"
#include "llm/questions.h"

#include <math.h>

typedef struct tern_exam {
    const tern_questions *questions;
    double *sums;          /* of ln p, choice by choice, question by question */
    int *by_sum, *by_mean; /* [questions] what is chosen by the sum, and by the mean of a character */
    int right, right_by_mean;
    int64_t tokens; /* scored */
    double seconds;
} tern_exam;

static void free_exam(tern_exam *e)
{
    tern_release(e->sums);
    tern_release(e->by_sum);
    tern_release(e->by_mean);
}

/* Characters of a choice, without the space before it. */
static double length_of(const char *text)
{
    double n = 0;
    for (text += *text == ' '; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n > 1 ? n : 1;
}

static tern_status answer(tern_exam *e, int index, tern_scorer *scorer, double *sums)
{
    const tern_question *q = &e->questions->list[index];
    int best = 0, best_by_mean = 0;
    double most = -INFINITY;
    for (int i = 0; i < q->count; i++) {
        int tokens;
        tern_status status = tern_scorer_score(scorer, q->contexts[i], q->texts[i], &sums[i], &tokens);
        if (status != TERN_OK) return tern_in(status, "question %d, choice %d", index + 1, i);
        e->tokens += tokens;
        double mean = sums[i] / length_of(q->texts[i]);
        if (sums[i] > sums[best]) best = i;
        if (mean <= most) continue;
        best_by_mean = i;
        most = mean;
    }
    e->by_sum[index] = best;
    e->by_mean[index] = best_by_mean;
    e->right += best == q->right;
    e->right_by_mean += best_by_mean == q->right;
    return TERN_OK;
}

static tern_status answer_all(tern_cli *cli, tern_exam *e, tern_scorer *scorer)
{
    const tern_questions *q = e->questions;
    size_t choices = 0, count = (size_t)q->count;
    for (int i = 0; i < q->count; i++) choices += (size_t)q->list[i].count;
    e->sums = tern_take_array(choices, sizeof *e->sums);
    e->by_sum = tern_take_array(count, sizeof *e->by_sum);
    e->by_mean = tern_take_array(count, sizeof *e->by_mean);
    if (!e->sums || !e->by_sum || !e->by_mean) return tern_no_memory(choices * sizeof *e->sums, "answers");
    double begun = tern_now(), *sums = e->sums;
    for (int i = 0; i < q->count; i++) {
        TERN_TRY(answer(e, i, scorer, sums));
        sums += q->list[i].count;
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted");
        if (!cli->json && !cli->quiet && ((i + 1) % 50 == 0 || i + 1 == q->count))
            fprintf(stderr, "question %d/%d  accuracy %.4f\n", i + 1, q->count, e->right / (i + 1.0));
    }
    e->seconds = tern_now() - begun;
    return TERN_OK;
}

/* ---- what it says ------------------------------------------------------------------------------------------------------ */

/* Of a share of n. */
static double error_of(double share, double n)
{
    return sqrt(share * (1 - share) / n);
}

static json_t *answers_json(const tern_exam *e)
{
    json_t *all = json_array();
    const double *sums = e->sums;
    for (int i = 0; i < e->questions->count; i++) {
        const tern_question *q = &e->questions->list[i];
        json_t *each = json_array();
        for (int c = 0; c < q->count; c++) json_array_append_new(each, json_real(sums[c]));
        sums += q->count;
        json_array_append_new(all, json_pack("{s:i,s:i,s:i,s:o}", "right", q->right, "chosen", e->by_sum[i],
                                             "chosen_by_length", e->by_mean[i], "log_probabilities", each));
    }
    return all;
}

/* Results of others (published.h), or none. */
static tern_status print_exam(const tern_cli *cli, const tern_exam *e, const tern_published *others)
{
    const char *wanted = tern_cli_text(cli, "dataset"),
               *data = wanted ? wanted : tern_cli_text(cli, "choices");
    double n = e->questions->count, sum = e->right / n, mean = e->right_by_mean / n;
    tern_grid grid = {0};
    if (cli->json) {
        json_t *all = json_pack("{s:s,s:i,s:f,s:f,s:f,s:f,s:I,s:f,s:o}", "dataset", data, "questions",
                                e->questions->count, "accuracy", sum, "standard_error", error_of(sum, n),
                                "accuracy_by_length", mean, "standard_error_by_length", error_of(mean, n),
                                "tokens_scored", (json_int_t)e->tokens, "seconds", e->seconds, "answers",
                                answers_json(e));
        json_t *list = json_array();
        for (int i = 0; i < others->count; i++) {
            json_t *row = json_object();
            for (int c = 0; c < TERN_PUBLISHED_COLUMNS; c++)
                json_object_set_new(row, tern_published_columns[c], json_string(others->rows[i].cells[c]));
            json_array_append_new(list, row);
        }
        json_object_set_new(all, "published", list);
        return tern_print_json(all);
    }
    printf("accuracy %.4f +- %.4f, by the mean of a character %.4f +- %.4f, on %d questions of %s; %.1f "
           "questions/s\n",
           sum, error_of(sum, n), mean, error_of(mean, n), e->questions->count, data, n / e->seconds);
    if (!others->count) return TERN_OK;
    tern_grid_row(&grid, "framework|model|dataset|quantization|accuracy|+-");
    tern_grid_row(&grid, "tern|%s|%s||%.4f|%.4f", cli->arguments[0], data, sum, error_of(sum, n));
    for (int i = 0; i < others->count; i++) {
        const char *const *c = others->rows[i].cells;
        tern_grid_row(&grid, "%s|%s|%s|%s|%s|%s", c[0], c[1], c[2], c[3], c[4], c[5]);
    }
    return tern_grid_print(&grid, stdout);
}

static tern_status take_exam(tern_cli *cli, const tern_questions *questions, const tern_published *others)
{
    tern_scorer *scorer = NULL;
    tern_exam e = {.questions = questions};
    tern_loras loras;
    char path[4096];
    TERN_TRY(tern_model_find(path, cli->arguments[0]));
    tern_catch_interrupts();
    tern_status status = tern_loras_read(cli, &loras);
    tern_llm_options options = {.cache = TERN_F32,
                                .loras = (const char *const *)loras.paths,
                                .lora_weights = loras.weights,
                                .lora_count = loras.count,
                                .pool = cli->pool};
    if (status == TERN_OK) status = tern_scorer_open(&scorer, path, &options);
    if (status == TERN_OK) status = answer_all(cli, &e, scorer);
    if (status == TERN_OK) status = print_exam(cli, &e, others);
    tern_scorer_close(scorer);
    tern_loras_free(&loras);
    free_exam(&e);
    return status;
}

tern_status tern_eval_choices(tern_cli *cli)
{
    tern_questions questions = {0};
    tern_published others = {0};
    const char *preamble = tern_cli_text(cli, "preamble"), *beside = tern_cli_text(cli, "beside");
    char *before = NULL;
    size_t size;
    tern_status status = preamble ? tern_read_file(preamble, &before, &size) : TERN_OK;
    if (status == TERN_OK)
        status = tern_questions_read(&questions, tern_cli_text(cli, "choices"), before,
                                     tern_cli_whole(cli, "limit"));
    if (status == TERN_OK && beside)
        status = tern_published_read(&others, beside, tern_cli_text(cli, "dataset"));
    if (status == TERN_OK) status = take_exam(cli, &questions, &others);
    tern_published_free(&others);
    tern_questions_free(&questions);
    tern_release(before);
    return status;
}
