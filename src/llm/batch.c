/* Many replies at once. */
#include "llm/batch.h"

#include <string.h>

struct tern_sequence {
    tern_saying saying;
    tern_tokens tokens; /* prompt and reply; the first `held` are in the cache */
    size_t held;
    int *pages;            /* [sequence_pages] */
    int page_count, known; /* pages that it has; of them those that are full and known */
    uint64_t number;       /* of the last known one */
    int place;             /* its row of the model's table; -1: it waits */
    int wanted;            /* row of the step's logits that it asked for; -1: none */
    bool begun, over;
    tern_status status;
    char *message;
    tern_beam_options beam; /* of a search; 0 beams: it is a reply, which has what is above */
    tern_search *search;    /* once it has places */
    const tern_tokens *prompt;
    tern_beams *beams;
    tern_sequence *next; /* the one that came after it */
};

struct tern_batch {
    tern_llm *llm;
    tern_words words;
    tern_pages pages;
    tern_sequence *first, **places; /* by age; [places_count], NULL: free */
    int place_count, chunk, sequence_pages;
    int32_t *ids, *positions, *slots, *owners, *wanted; /* [chunk] */
    int count, wanted_count;                            /* of the step */
    int64_t steps, rows, again;
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static tern_status open_batch(tern_batch *b, const char *path, const tern_batch_options *options)
{
    tern_llm_options o = {.context = options->context,
                          .chunk = options->chunk,
                          .cache = options->cache,
                          .sequences = options->sequences ? options->sequences : 8,
                          .pages = (int)((options->cache_tokens + TERN_PAGE - 1) / TERN_PAGE),
                          .loras = options->loras,
                          .lora_weights = options->lora_weights,
                          .lora_count = options->lora_count,
                          .reference = options->reference,
                          .copied = options->copied,
                          .pool = options->pool};
    TERN_TRY(tern_llm_open(&b->llm, path, &o));
    TERN_TRY(tern_words_open(&b->words, path, tern_llm_weights(b->llm)));
    b->place_count = o.sequences;
    b->chunk = tern_llm_step_tokens(b->llm);
    b->sequence_pages = tern_llm_sequence_pages(tern_llm_about(b->llm), &o);
    size_t chunk = (size_t)b->chunk;
    b->places = tern_take_array((size_t)b->place_count, sizeof(tern_sequence *));
    b->ids = tern_take_array(chunk, sizeof *b->ids);
    b->positions = tern_take_array(chunk, sizeof *b->positions);
    b->slots = tern_take_array(chunk, sizeof *b->slots);
    b->owners = tern_take_array(chunk, sizeof *b->owners);
    b->wanted = tern_take_array(chunk, sizeof *b->wanted);
    if (!b->places || !b->ids || !b->positions || !b->slots || !b->owners || !b->wanted)
        return tern_no_memory(chunk * sizeof *b->ids, "a batch");
    return tern_pages_open(&b->pages, tern_llm_pages(tern_llm_about(b->llm), &o));
}

tern_status tern_batch_open(tern_batch **batch, const char *path, const tern_batch_options *options)
{
    tern_batch *b = tern_take(sizeof *b);
    if (!b) return tern_no_memory(sizeof *b, "a batch");
    tern_status status = open_batch(b, path, options);
    if (status == TERN_OK)
        *batch = b;
    else
        tern_batch_close(b);
    return status;
}

void tern_batch_close(tern_batch *b)
{
    if (!b) return;
    while (b->first) tern_batch_remove(b, b->first);
    tern_pages_close(&b->pages);
    tern_words_close(&b->words);
    tern_llm_close(b->llm);
    tern_release((void *)b->places);
    tern_release(b->ids);
    tern_release(b->positions);
    tern_release(b->slots);
    tern_release(b->owners);
    tern_release(b->wanted);
    tern_release(b);
}

const tern_llm *tern_batch_model(const tern_batch *batch)
{
    return batch->llm;
}

const tern_words *tern_batch_words(const tern_batch *batch)
{
    return &batch->words;
}

/* ---- places and pages --------------------------------------------------------------------------------------------- */

/* Its pages go back, the last first: beginnings are of use to others for longest. */
static void leave(tern_batch *b, tern_sequence *s)
{
    while (s->page_count) tern_pages_drop(&b->pages, s->pages[--s->page_count]);
    if (s->place >= 0) b->places[s->place] = NULL;
    s->place = -1;
    s->held = s->number = 0;
    s->known = 0;
    tern_search_close(s->search);
    s->search = NULL;
    for (int i = 0; s->beam.beams && i < b->place_count; i++)
        if (b->places[i] == s) b->places[i] = NULL;
}

static void finish(tern_batch *b, tern_sequence *s, tern_status status)
{
    s->status = status;
    if (status != TERN_OK) s->message = tern_copy_string(tern_message());
    s->over = true;
    leave(b, s);
    tern_clear();
}

static void give(tern_batch *b, tern_sequence *s, int page)
{
    tern_llm_table(b->llm, s->place)[s->page_count] = page;
    s->pages[s->page_count++] = page;
}

/* Known pages with the tokens that it begins with; the last token is computed in any case, for its logits. */
static void share(tern_batch *b, tern_sequence *s)
{
    while (s->held + TERN_PAGE < s->tokens.count) {
        int page = tern_pages_find(&b->pages, s->number, s->tokens.ids + s->held);
        if (page < 0) return;
        give(b, s, page);
        s->number = b->pages.all[page].number;
        s->known++;
        s->held += TERN_PAGE;
    }
}

static void enter(tern_batch *b, tern_sequence *s, int place)
{
    b->places[place] = s;
    s->place = place;
    share(b, s);
    if (s->begun) return;
    s->begun = true;
    s->saying.begun = tern_now();
    s->saying.reply->prompt = (int)s->tokens.count;
    s->saying.reply->reused = (int)s->held;
}

static bool make_room(void *context);

/* Places of a search, with all that it has; false: there are too few. */
static bool enter_search(tern_batch *b, tern_sequence *s)
{
    tern_beam_room room = {.pages = &b->pages, .make_room = make_room, .context = b};
    int count = 0;
    for (int i = 0; i < b->place_count && count < s->beam.beams; i++)
        if (!b->places[i]) room.owners[count++] = i;
    if (count < s->beam.beams) return false;
    for (int i = 0; i < count; i++) b->places[room.owners[i]] = s;
    tern_status status = tern_search_open(&s->search, b->llm, s->prompt, &s->beam, &room, s->beams);
    if (status != TERN_OK) finish(b, s, status);
    return true;
}

/* Those that wait get places, oldest first, while there are pages for what they have to say. */
static void admit(tern_batch *b)
{
    int place = 0, running = 0;
    for (int i = 0; i < b->place_count; i++) running += b->places[i] != NULL;
    for (tern_sequence *s = b->first; s; s = s->next) {
        if (s->over || s->place >= 0 || s->search) continue;
        int branches = s->beam.beams;
        size_t tokens = branches ? s->prompt->count : s->tokens.count;
        if (running && b->pages.unused < (int)(tokens / TERN_PAGE) + (branches ? branches : 1)) return;
        while (place < b->place_count && b->places[place]) place++;
        if (branches ? !enter_search(b, s) : place == b->place_count) return;
        if (!branches) enter(b, s, place);
        running++;
    }
}

static tern_sequence *youngest(const tern_batch *b)
{
    tern_sequence *last = NULL;
    for (tern_sequence *s = b->first; s; s = s->next)
        if (s->place >= 0) last = s;
    return last;
}

/* The youngest reply gives up its pages, and waits. */
static bool make_room(void *context)
{
    tern_batch *b = context;
    tern_sequence *s = youngest(b);
    if (!s) return false;
    b->again++;
    leave(b, s);
    return true;
}

/* A page for its next token.  force: the youngest gives up its own where there is none, perhaps this one itself. */
static bool have_page(tern_batch *b, tern_sequence *s, size_t position, bool force)
{
    while (s->place >= 0 && position / TERN_PAGE >= (size_t)s->page_count) {
        int page = tern_pages_take(&b->pages);
        if (page >= 0) {
            give(b, s, page);
        } else if (!force) {
            return false;
        } else {
            make_room(b);
        }
    }
    return s->place >= 0;
}

/* ---- a step ------------------------------------------------------------------------------------------------------- */

/* Up to `most` of its next tokens into the step. */
static void put_rows(tern_batch *b, tern_sequence *s, int most, bool force)
{
    for (size_t at = s->held; most > 0 && at < s->tokens.count && have_page(b, s, at, force); at++, most--) {
        int i = b->count++;
        b->ids[i] = s->tokens.ids[at];
        b->positions[i] = (int32_t)at;
        b->slots[i] = (int32_t)(s->pages[at / TERN_PAGE] * TERN_PAGE + (int)(at % TERN_PAGE));
        b->owners[i] = s->place;
        if (at + 1 < s->tokens.count) continue;
        s->wanted = b->wanted_count;
        b->wanted[b->wanted_count++] = i;
    }
}

/* Tokens of its prompt that are not in the cache yet. */
static int prompt_left(const tern_sequence *s)
{
    size_t prompt = s->place >= 0 ? (size_t)s->saying.reply->prompt : 0;
    return s->held < prompt ? (int)(prompt - s->held) : 0;
}

static int less(int a, int b)
{
    return a < b ? a : b;
}

/* The next token of each reply first, then what else replies need that had to begin again, and prompts: together where that makes
 * no difference, else those of one kind (`prompts`).  None of these takes pages from replies, unless nothing else goes on. */
static void compose(tern_batch *b, bool apart, bool prompts, bool alone)
{
    b->count = b->wanted_count = 0;
    for (tern_sequence *s = b->first; s; s = s->next) s->wanted = -1;
    for (tern_sequence *s = b->first; s && !(apart && prompts); s = s->next)
        if (s->place >= 0 && s->held + 1 == s->tokens.count && !(apart && prompt_left(s)) &&
            b->count < b->chunk)
            put_rows(b, s, 1, true);
    for (tern_sequence *s = b->first; s; s = s->next) {
        int left = s->place >= 0 ? (int)(s->tokens.count - s->held) : 0, own = apart ? prompt_left(s) : 0;
        if (apart && prompts != (own > 0)) continue;
        if (left > 1 || own)
            put_rows(b, s, less(b->chunk - b->count, own ? own : left), alone && b->count == 0);
    }
}

/* Its tokens of the step are in the cache. */
static void hold(tern_batch *b)
{
    for (int i = 0; i < b->count; i++) b->places[b->owners[i]]->held++;
    for (tern_sequence *s = b->first; s; s = s->next)
        while (s->place >= 0 && (size_t)(s->known + 1) * TERN_PAGE <= s->held) {
            const int32_t *ids = s->tokens.ids + (size_t)s->known * TERN_PAGE;
            s->number = tern_pages_know(&b->pages, s->pages[s->known++], s->number, ids);
        }
}

static void end(tern_batch *b, tern_sequence *s, tern_status status)
{
    tern_reply *r = s->saying.reply;
    if (status == TERN_OK) status = tern_saying_end(&s->saying);
    r->made_seconds = tern_now() - s->saying.begun - r->prompt_seconds;
    finish(b, s, status);
}

/* The next token of a reply. */
static void go_on(tern_batch *b, tern_sequence *s, const float *logits)
{
    tern_reply *r = s->saying.reply;
    int32_t id = 0;
    bool over = true;
    if (!r->tokens.count) r->prompt_seconds = tern_now() - s->saying.begun;
    tern_status status =
        s->saying.request->most > 0 ? tern_saying_next(&s->saying, logits, &id, &over) : TERN_OK;
    if (status == TERN_OK && !over && s->tokens.count >= (size_t)tern_llm_rows(b->llm)) {
        r->finish = TERN_FINISH_CONTEXT;
        over = true;
    }
    if (status == TERN_OK && !over) status = tern_tokens_add(&s->tokens, id);
    if (status != TERN_OK || over) end(b, s, status);
}

/* What has been composed, through the model. */
static tern_status run_rows(tern_batch *b, bool prompt)
{
    const float *logits = NULL;
    int vocabulary = tern_llm_about(b->llm)->vocabulary;
    if (!b->count) return TERN_OK;
    TERN_TRY(tern_llm_step(b->llm,
                           &(tern_llm_packed){.prompt = prompt,
                                              .count = b->count,
                                              .tokens = b->ids,
                                              .positions = b->positions,
                                              .slots = b->slots,
                                              .owners = b->owners,
                                              .wanted = b->wanted,
                                              .wanted_count = b->wanted_count},
                           &logits));
    b->steps++;
    b->rows += b->count;
    hold(b);
    for (tern_sequence *s = b->first; s; s = s->next)
        if (s->wanted >= 0) go_on(b, s, logits + (size_t)s->wanted * (size_t)vocabulary);
    return TERN_OK;
}

/* A step of each search. */
static void run_searches(tern_batch *b)
{
    for (tern_sequence *s = b->first; s; s = s->next) {
        bool over = false;
        if (!s->search) continue;
        tern_status status = tern_search_step(s->search, &over);
        b->steps++;
        if (status != TERN_OK || over) finish(b, s, status);
    }
}

tern_status tern_batch_step(tern_batch *b)
{
    bool apart = tern_llm_apart(b->llm);
    admit(b);
    compose(b, apart, false, true);
    bool none = b->count == 0;
    TERN_TRY(run_rows(b, false));
    if (apart) {
        compose(b, true, true, none);
        TERN_TRY(run_rows(b, true));
    }
    run_searches(b);
    return TERN_OK;
}

/* ---- sequences ----------------------------------------------------------------------------------------------------- */

static tern_status open_sequence(tern_batch *b, tern_sequence *s, const tern_tokens *prompt,
                                 const tern_request *request, tern_reply *reply)
{
    int room = tern_llm_rows(b->llm), pages = b->sequence_pages;
    if (prompt->count > (size_t)room)
        return tern_fail(TERN_NO_FIT,
                         "the prompt has %zu tokens, which exceed the context of %d: ask for a larger one",
                         prompt->count, room);
    s->pages = tern_take_array((size_t)pages, sizeof *s->pages);
    if (!s->pages) return tern_no_memory((size_t)pages * sizeof *s->pages, "a sequence");
    for (size_t i = 0; i < prompt->count; i++) TERN_TRY(tern_tokens_add(&s->tokens, prompt->ids[i]));
    return tern_saying_open(&s->saying, &b->words, request, prompt, tern_llm_about(b->llm)->vocabulary,
                            reply);
}

static void release(tern_sequence *s)
{
    tern_saying_close(&s->saying);
    tern_tokens_free(&s->tokens);
    tern_release(s->pages);
    tern_release(s->message);
    tern_release(s);
}

static void append(tern_batch *b, tern_sequence *s)
{
    tern_sequence **last = &b->first;
    while (*last) last = &(*last)->next;
    *last = s;
}

tern_status tern_batch_add(tern_batch *b, const tern_tokens *prompt, const tern_request *request,
                           tern_reply *reply, tern_sequence **sequence)
{
    tern_sequence *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a sequence");
    s->place = s->wanted = -1;
    tern_status status = open_sequence(b, s, prompt, request, reply);
    if (status != TERN_OK) {
        release(s);
        return status;
    }
    append(b, s);
    *sequence = s;
    return TERN_OK;
}

tern_status tern_batch_search(tern_batch *b, const tern_tokens *prompt, const tern_beam_options *options,
                              tern_beams *beams, tern_sequence **sequence)
{
    TERN_TRY(tern_beam_check(b->llm, prompt, options));
    tern_sequence *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a search");
    s->place = s->wanted = -1;
    s->beam = *options;
    s->prompt = prompt;
    s->beams = beams;
    append(b, s);
    *sequence = s;
    return TERN_OK;
}

bool tern_sequence_over(const tern_sequence *s, tern_status *status, const char **message)
{
    *status = s->status;
    *message = s->message ? s->message : "";
    return s->over;
}

void tern_batch_remove(tern_batch *b, tern_sequence *s)
{
    tern_sequence **at = &b->first;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    leave(b, s);
    release(s);
}

tern_batch_state tern_batch_look(const tern_batch *b)
{
    tern_batch_state state = {.places = b->place_count,
                              .pages = b->pages.count,
                              .used = b->pages.count - b->pages.unused,
                              .kept = b->pages.kept,
                              .steps = b->steps,
                              .rows = b->rows,
                              .again = b->again};
    for (const tern_sequence *s = b->first; s; s = s->next) {
        int places = s->beam.beams ? s->beam.beams : 1;
        state.running += s->place >= 0 || s->search ? places : 0;
        state.waiting += s->place < 0 && !s->search && !s->over ? places : 0;
    }
    return state;
}
