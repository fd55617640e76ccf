/* Pages of a cache and what they hold. */
#include "llm/pages.h"

#include <string.h>

tern_status tern_pages_open(tern_pages *p, int count)
{
    p->bucket_count = 64;
    while (p->bucket_count < 2 * count) p->bucket_count *= 2;
    p->all = tern_take_array((size_t)count, sizeof *p->all);
    p->buckets = tern_take_array((size_t)p->bucket_count, sizeof *p->buckets);
    if (!p->all || !p->buckets) return tern_no_memory((size_t)count * sizeof *p->all, "pages");
    p->count = p->unused = count;
    p->first = 0;
    p->last = count - 1;
    for (int i = 0; i < p->bucket_count; i++) p->buckets[i] = -1;
    for (int i = 0; i < count; i++)
        p->all[i] = (tern_page){.earlier = i - 1, .later = i + 1 < count ? i + 1 : -1, .next = -1};
    return TERN_OK;
}

void tern_pages_close(tern_pages *p)
{
    tern_release(p->all);
    tern_release(p->buckets);
    *p = (tern_pages){0};
}

static int *bucket_of(const tern_pages *p, uint64_t before, const int32_t *ids)
{
    uint64_t hash = tern_hash(ids, TERN_PAGE * sizeof *ids) ^ (before * 0x9e3779b97f4a7c15u);
    return &p->buckets[(hash ^ hash >> 32) & (uint64_t)(p->bucket_count - 1)];
}

/* Out of the list of those without users. */
static void use(tern_pages *p, int page)
{
    tern_page *x = &p->all[page];
    if (x->users++) return;
    if (x->earlier >= 0)
        p->all[x->earlier].later = x->later;
    else
        p->first = x->later;
    if (x->later >= 0)
        p->all[x->later].earlier = x->earlier;
    else
        p->last = x->earlier;
    p->unused--;
    p->kept -= x->number != 0;
}

static void forget(tern_pages *p, int page)
{
    tern_page *x = &p->all[page];
    if (!x->number) return;
    int *at = bucket_of(p, x->before, x->ids);
    while (*at != page) at = &p->all[*at].next;
    *at = x->next;
    x->number = 0;
}

int tern_pages_take(tern_pages *p)
{
    int page = p->first;
    if (page < 0) return -1;
    use(p, page);
    forget(p, page);
    return page;
}

void tern_pages_share(tern_pages *p, int page)
{
    use(p, page);
}

void tern_pages_drop(tern_pages *p, int page)
{
    tern_page *x = &p->all[page];
    if (--x->users) return;
    bool blank = !x->number; /* holds nothing that could be found: goes first */
    x->earlier = blank ? -1 : p->last;
    x->later = blank ? p->first : -1;
    if (x->earlier >= 0) p->all[x->earlier].later = page;
    if (x->later >= 0) p->all[x->later].earlier = page;
    if (!blank || p->last < 0) p->last = page;
    if (blank || p->first < 0) p->first = page;
    p->unused++;
    p->kept += !blank;
}

static int look_up(const tern_pages *p, uint64_t before, const int32_t *ids)
{
    int page = *bucket_of(p, before, ids);
    while (page >= 0 &&
           (p->all[page].before != before || memcmp(p->all[page].ids, ids, sizeof p->all[page].ids) != 0))
        page = p->all[page].next;
    return page;
}

int tern_pages_find(tern_pages *p, uint64_t before, const int32_t ids[TERN_PAGE])
{
    int page = look_up(p, before, ids);
    if (page >= 0) use(p, page);
    return page;
}

uint64_t tern_pages_know(tern_pages *p, int page, uint64_t before, const int32_t ids[TERN_PAGE])
{
    tern_page *x = &p->all[page];
    int known = look_up(p, before, ids);
    if (known >= 0) return p->all[known].number;
    int *bucket = bucket_of(p, before, ids);
    x->number = ++p->numbers;
    x->before = before;
    memcpy(x->ids, ids, sizeof x->ids);
    x->next = *bucket;
    *bucket = page;
    return x->number;
}
