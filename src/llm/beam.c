/* Beam search over pages. */
#include "llm/beam.h"

#include "llm/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A beginning: what it adds to the prompt, and where its keys and values are. */
typedef struct tern_branch {
    tern_tokens made;
    double sum; /* of ln p */
    int *pages; /* [page_count] */
    int page_count;
} tern_branch;

/* Branch `from` gone on with by a token. */
typedef struct tern_candidate {
    int from;
    int32_t id;
    double sum;
} tern_candidate;

struct tern_search {
    tern_llm *llm;
    tern_beam_options options;
    const tern_beam_options *o; /* those */
    const tern_tokens *prompt;
    tern_beam_room room;
    double begun;
    tern_branch *now, *next; /* [beams] */
    int now_count, next_count;
    int keep;                  /* candidates that are looked at: enough when all ends are among them */
    tern_candidate *best;      /* [beams * keep] */
    tern_log_probability *top; /* [keep] */
    int held, sequence_pages;  /* tokens in the cache of each branch */
    int32_t *ids, *positions, *slots, *owners, *wanted; /* [step] */
    int step;
    tern_beams *out;
};

void tern_beams_free(tern_beams *beams)
{
    for (int i = 0; i < beams->count; i++) tern_tokens_free(&beams->list[i].tokens);
    tern_release(beams->list);
    *beams = (tern_beams){0};
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static tern_status open_lists(tern_search *s)
{
    size_t beams = (size_t)s->o->beams, step = (size_t)s->step, row = (size_t)s->sequence_pages;
    int keep = (1 + s->o->end_count) * s->o->beams, vocabulary = tern_llm_about(s->llm)->vocabulary;
    s->keep = keep < 2 * s->o->beams ? 2 * s->o->beams : keep;
    if (s->keep > vocabulary) s->keep = vocabulary;
    s->now = tern_take_array(beams, sizeof *s->now);
    s->next = tern_take_array(beams, sizeof *s->next);
    s->best = tern_take_array(beams * (size_t)s->keep, sizeof *s->best);
    s->top = tern_take_array((size_t)s->keep, sizeof *s->top);
    s->ids = tern_take_array(step, sizeof *s->ids);
    s->positions = tern_take_array(step, sizeof *s->positions);
    s->slots = tern_take_array(step, sizeof *s->slots);
    s->owners = tern_take_array(step, sizeof *s->owners);
    s->wanted = tern_take_array(step, sizeof *s->wanted);
    bool taken = s->now && s->next && s->best && s->top && s->ids && s->positions && s->slots && s->owners &&
                 s->wanted;
    for (int i = 0; taken && i < s->o->beams; i++) {
        s->now[i].pages = tern_take_array(row, sizeof(int));
        s->next[i].pages = tern_take_array(row, sizeof(int));
        taken = s->now[i].pages && s->next[i].pages;
    }
    return taken ? TERN_OK : tern_no_memory(beams * (size_t)s->keep * sizeof *s->best, "beams");
}

static void drop_pages(tern_search *s, tern_branch *b)
{
    while (b->page_count) tern_pages_drop(s->room.pages, b->pages[--b->page_count]);
}

void tern_search_close(tern_search *s)
{
    if (!s) return;
    tern_branch *const lists[] = {s->now, s->next};
    for (size_t l = 0; l < TERN_COUNT(lists); l++)
        for (int i = 0; lists[l] && i < s->o->beams; i++) {
            drop_pages(s, &lists[l][i]);
            tern_release(lists[l][i].pages);
            tern_tokens_free(&lists[l][i].made);
        }
    tern_release(s->now);
    tern_release(s->next);
    tern_release(s->best);
    tern_release(s->top);
    tern_release(s->ids);
    tern_release(s->positions);
    tern_release(s->slots);
    tern_release(s->owners);
    tern_release(s->wanted);
    tern_release(s);
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static tern_status take_page(tern_search *s, int *page)
{
    do {
        *page = tern_pages_take(s->room.pages);
        if (*page >= 0) return TERN_OK;
    } while (s->room.make_room && s->room.make_room(s->room.context));
    return tern_fail(
        TERN_NO_FIT,
        "the cache has %d pages of %d tokens, which do not hold %d beams: ask for fewer beams or "
        "tokens, or a larger cache",
        s->room.pages->count, TERN_PAGE, s->o->beams);
}

/* Room for the token at `position` of a branch. */
static tern_status have_page(tern_search *s, tern_branch *b, int position)
{
    if (position / TERN_PAGE < b->page_count) return TERN_OK;
    TERN_TRY(take_page(s, &b->pages[b->page_count]));
    b->page_count++;
    return TERN_OK;
}

/* All of a branch's pages; of one that is not full a copy, since both go on in it, unless nobody else does (`sole`). */
static tern_status share_pages(tern_search *s, const tern_branch *from, tern_branch *to, bool sole)
{
    bool copied = s->held % TERN_PAGE != 0 && !sole;
    for (int p = 0; p < from->page_count - copied; p++) {
        tern_pages_share(s->room.pages, from->pages[p]);
        to->pages[to->page_count++] = from->pages[p];
    }
    if (!copied) return TERN_OK;
    int page;
    TERN_TRY(take_page(s, &page));
    to->pages[to->page_count++] = page;
    return tern_llm_copy_page(s->llm, from->pages[from->page_count - 1], page);
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* Token `id` of a branch into row i of the step. */
static tern_status put_row(tern_search *s, int i, int branch, int32_t id, int position)
{
    tern_branch *b = &s->now[branch];
    TERN_TRY(have_page(s, b, position));
    memcpy(tern_llm_table(s->llm, s->room.owners[branch]), b->pages,
           (size_t)b->page_count * sizeof *b->pages);
    s->ids[i] = id;
    s->positions[i] = position;
    s->slots[i] = b->pages[position / TERN_PAGE] * TERN_PAGE + position % TERN_PAGE;
    s->owners[i] = s->room.owners[branch];
    return TERN_OK;
}

static tern_status run_step(const tern_search *s, bool prompt, int count, int wanted, const float **logits)
{
    return tern_llm_step(s->llm,
                         &(tern_llm_packed){.prompt = prompt,
                                            .count = count,
                                            .tokens = s->ids,
                                            .positions = s->positions,
                                            .slots = s->slots,
                                            .owners = s->owners,
                                            .wanted = s->wanted,
                                            .wanted_count = wanted},
                         logits);
}

/* As much of the prompt as a step takes. */
static tern_status feed_prompt(tern_search *s, const float **logits)
{
    int left = (int)s->prompt->count - s->held, part = left < s->step ? left : s->step;
    for (int i = 0; i < part; i++) TERN_TRY(put_row(s, i, 0, s->prompt->ids[s->held + i], s->held + i));
    s->wanted[0] = part - 1;
    TERN_TRY(run_step(s, true, part, 1, logits));
    s->held += part;
    return TERN_OK;
}

/* The last token of each branch. */
static tern_status feed_branches(tern_search *s, const float **logits)
{
    for (int i = 0; i < s->now_count; i++) {
        const tern_tokens *made = &s->now[i].made;
        TERN_TRY(put_row(s, i, i, made->ids[made->count - 1], s->held));
        s->wanted[i] = i;
    }
    TERN_TRY(run_step(s, false, s->now_count, s->now_count, logits));
    s->held++;
    return TERN_OK;
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

/* The likeliest first; of equal ones that of the better branch, then of the smaller token, so that the order is always the same. */
static int by_sum(const void *a, const void *b)
{
    const tern_candidate *x = a, *y = b;
    if (x->sum != y->sum) return x->sum < y->sum ? 1 : -1;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* s->best: what the branches go on with; returns how many, `keep` at most. */
static int find_candidates(tern_search *s, const float *logits)
{
    int vocabulary = tern_llm_about(s->llm)->vocabulary, count = 0;
    for (int b = 0; b < s->now_count; b++) {
        int have =
            tern_log_probabilities(logits + (size_t)b * (size_t)vocabulary, vocabulary, s->top, s->keep);
        for (int i = 0; i < have; i++)
            s->best[count++] = (tern_candidate){b, s->top[i].id, s->now[b].sum + s->top[i].log_probability};
    }
    qsort(s->best, (size_t)count, sizeof *s->best, by_sum);
    return count < s->keep ? count : s->keep;
}

static bool is_end(const tern_search *s, int32_t id)
{
    for (int i = 0; i < s->o->end_count; i++)
        if (s->o->ends[i] == id) return true;
    return false;
}

/* A text that is complete, if it is one of the best so many as beams. */
static tern_status add_text(tern_search *s, tern_beams *out, const tern_branch *b, double sum, int length,
                            bool ended)
{
    tern_beam text = {
        .log_probability = sum, .score = sum / pow(length, s->o->length_penalty), .ended = ended};
    int at = out->count;
    while (at > 0 && out->list[at - 1].score < text.score) at--;
    if (at == s->o->beams) return TERN_OK;
    for (size_t i = 0; i < b->made.count; i++) {
        tern_status status = tern_tokens_add(&text.tokens, b->made.ids[i]);
        if (status == TERN_OK) continue;
        tern_tokens_free(&text.tokens);
        return status;
    }
    if (out->count == s->o->beams) tern_tokens_free(&out->list[--out->count].tokens);
    memmove(out->list + at + 1, out->list + at, (size_t)(out->count - at) * sizeof *out->list);
    out->list[at] = text;
    out->count++;
    return TERN_OK;
}

/* A candidate becomes a branch of the next step. */
static tern_status add_branch(tern_search *s, const tern_candidate *c)
{
    const tern_branch *from = &s->now[c->from];
    tern_branch *to = &s->next[s->next_count++];
    bool sole = true;
    for (const tern_candidate *o = s->best; o < c; o++) sole &= o->from != c->from || is_end(s, o->id);
    to->made.count = 0;
    to->sum = c->sum;
    for (size_t i = 0; i < from->made.count; i++) TERN_TRY(tern_tokens_add(&to->made, from->made.ids[i]));
    TERN_TRY(tern_tokens_add(&to->made, c->id));
    return share_pages(s, from, to, sole);
}

/* From logits to the branches of the next step, and the texts that end here. */
static tern_status branch_out(tern_search *s, const float *logits, tern_beams *out)
{
    int count = find_candidates(s, logits);
    s->next_count = 0;
    for (int i = 0; i < count && s->next_count < s->o->beams; i++) {
        const tern_candidate *c = &s->best[i];
        const tern_branch *from = &s->now[c->from];
        if (!is_end(s, c->id)) {
            TERN_TRY(add_branch(s, c));
        } else if (i < s->o->beams) { /* an end that is less likely than all beams ends nothing */
            TERN_TRY(add_text(s, out, from, c->sum, (int)from->made.count + 1, true));
        }
    }
    for (int i = 0; i < s->now_count; i++) drop_pages(s, &s->now[i]);
    tern_branch *swap = s->now;
    s->now = s->next;
    s->next = swap;
    s->now_count = s->next_count;
    return TERN_OK;
}

/* Whether nothing better is to come: exact without a length penalty, else by the beams' scores as they stand.  One beam is the
 * likeliest token each time, and ends where that does. */
static bool is_done(const tern_search *s, const tern_beams *out, int made)
{
    if (!s->now_count) return true;
    if (out->count < s->o->beams) return false;
    double hope = s->now[0].sum / pow(made, s->o->length_penalty);
    return s->o->early || s->o->beams == 1 || out->list[out->count - 1].score >= hope;
}

tern_status tern_search_step(tern_search *s, bool *over)
{
    tern_beams *out = s->out;
    const float *logits = NULL;
    *over = false;
    if (s->held < (int)s->prompt->count) {
        TERN_TRY(feed_prompt(s, &logits));
        if (s->held < (int)s->prompt->count) return TERN_OK;
        out->prompt_seconds = tern_now() - s->begun;
    } else {
        TERN_TRY(feed_branches(s, &logits));
    }
    out->steps++;
    TERN_TRY(branch_out(s, logits, out));
    bool done = is_done(s, out, out->steps);
    *over = done || out->steps == s->o->most || s->held >= tern_llm_rows(s->llm);
    if (!*over) return TERN_OK;
    for (int i = 0; i < s->now_count && !done; i++)
        TERN_TRY(add_text(s, out, &s->now[i], s->now[i].sum, (int)s->now[i].made.count, false));
    out->made_seconds = tern_now() - s->begun - out->prompt_seconds;
    return TERN_OK;
}

tern_status tern_beam_check(const tern_llm *llm, const tern_tokens *prompt, const tern_beam_options *o)
{
    int sequences, pages, sequence_pages, most = tern_llm_step_tokens(llm);
    tern_llm_paged(llm, &sequences, &pages, &sequence_pages);
    if (most > sequences) most = sequences;
    if (most > TERN_MOST_BEAMS) most = TERN_MOST_BEAMS;
    if (o->beams < 1 || o->beams > most)
        return tern_fail(TERN_USAGE, "%d beams, expected 1 to %d, the sequences of the model", o->beams,
                         most);
    if (o->most < 1) return tern_fail(TERN_USAGE, "beams of %d tokens, expected 1 or more", o->most);
    if (!prompt->count) return tern_fail(TERN_USAGE, "the prompt is empty: it has no token");
    if (prompt->count > (size_t)tern_llm_rows(llm))
        return tern_fail(TERN_NO_FIT,
                         "the prompt has %zu tokens, which exceed the context of %d: ask for a larger one",
                         prompt->count, tern_llm_rows(llm));
    return TERN_OK;
}

tern_status tern_search_open(tern_search **search, tern_llm *llm, const tern_tokens *prompt,
                             const tern_beam_options *options, const tern_beam_room *room, tern_beams *out)
{
    int sequences, pages;
    TERN_TRY(tern_beam_check(llm, prompt, options));
    tern_search *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "beams");
    *s = (tern_search){.llm = llm,
                       .options = *options,
                       .o = &s->options,
                       .prompt = prompt,
                       .room = *room,
                       .out = out,
                       .begun = tern_now(),
                       .step = tern_llm_step_tokens(llm),
                       .now_count = 1};
    tern_llm_paged(llm, &sequences, &pages, &s->sequence_pages);
    *out = (tern_beams){.list = tern_take_array((size_t)options->beams + 1, sizeof *out->list)};
    tern_status status = out->list ? open_lists(s) : tern_no_memory(sizeof *out->list, "beams");
    if (status == TERN_OK)
        *search = s;
    else
        tern_search_close(s);
    return status;
}

tern_status tern_beam_search(tern_llm *llm, const tern_tokens *prompt, const tern_beam_options *options,
                             tern_beams *out)
{
    tern_pages pages = {0};
    tern_beam_room room = {.pages = &pages};
    tern_search *s = NULL;
    int sequences, count, sequence_pages;
    bool over = false;
    *out = (tern_beams){0};
    TERN_TRY(tern_beam_check(llm, prompt, options));
    tern_llm_paged(llm, &sequences, &count, &sequence_pages);
    for (int i = 0; i < options->beams; i++) room.owners[i] = i;
    tern_status status = tern_pages_open(&pages, count);
    if (status == TERN_OK) status = tern_search_open(&s, llm, prompt, options, &room, out);
    while (status == TERN_OK && !over)
        status = tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "interrupted") : tern_search_step(s, &over);
    tern_search_close(s);
    tern_pages_close(&pages);
    return status;
}
