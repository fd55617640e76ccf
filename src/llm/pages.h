/* pages: which page of a cache holds what.  A page has users; one that is full may be known by what it holds, so that a sequence
 * that begins with the same tokens uses it too.  Pages without users keep what they hold until they are needed, the one that was
 * dropped first goes first (as in vLLM: Kwon et al., arXiv 2309.06180). */
#ifndef TERN_LLM_PAGES_H
#define TERN_LLM_PAGES_H

#include "llm/model.h"

/* A full page is known by its tokens and by the number of the page before it, 0 for the first of a sequence. */
typedef struct tern_page {
    int users;
    uint64_t number, before; /* 0: it is not known */
    int32_t ids[TERN_PAGE];
    int next;           /* in its bucket; -1: the last */
    int earlier, later; /* among those without users; -1: none */
} tern_page;

/* Zero-initialise; close also after a failure. */
typedef struct tern_pages {
    tern_page *all;          /* [count] */
    int count, unused, kept; /* all; without users; of them those that are known */
    int first, last;         /* of those without users */
    int *buckets;            /* [bucket_count] */
    int bucket_count;
    uint64_t numbers; /* that were given so far */
} tern_pages;
tern_status tern_pages_open(tern_pages *pages, int count);
void tern_pages_close(tern_pages *pages);

/* A page for new tokens, with one user; -1: all have users. */
int tern_pages_take(tern_pages *pages);
/* One user more. */
void tern_pages_share(tern_pages *pages, int page);
/* One user less. */
void tern_pages_drop(tern_pages *pages, int page);
/* The page that holds `ids` behind page number `before`, with one user more; -1: none does. */
int tern_pages_find(tern_pages *pages, uint64_t before, const int32_t ids[TERN_PAGE]);
/* `page` now holds these; returns its number, or that of the page which is known for it already. */
uint64_t tern_pages_know(tern_pages *pages, int page, uint64_t before, const int32_t ids[TERN_PAGE]);
#endif
