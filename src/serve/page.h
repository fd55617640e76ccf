/* page: a conversation in a browser, in one document that needs nothing else. */
#ifndef TERN_SERVE_PAGE_H
#define TERN_SERVE_PAGE_H

/* Lines of HTML, NULL behind the last. */
extern const char *const tern_chat_page[];
/* What the page may do: its own script and style, requests to its own server. */
extern const char *const tern_chat_page_policy;

#endif
