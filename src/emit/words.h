/* C that every emitted main.c has: text put together in `line`, without the C library's printf, which boards lack. */
#ifndef TERN_EMIT_WORDS_H
#define TERN_EMIT_WORDS_H

extern const char tern_emit_words[]; /* put, put_number */
extern const char tern_emit_field[]; /* put_field: "name": number, */

#endif
