/* Characters: UTF-8, general categories, lower case, canonical normalisation.  Tables by scripts/unicode-tables. */
#ifndef TERN_LLM_UNICODE_H
#define TERN_LLM_UNICODE_H

#include "base/base.h"

#define TERN_REPLACEMENT 0xFFFDu /* stands for bytes that are no UTF-8 */

/* In the order of the tables. */
typedef enum tern_category {
    TERN_LU,
    TERN_LL,
    TERN_LT,
    TERN_LM,
    TERN_LO,
    TERN_MN,
    TERN_MC,
    TERN_ME,
    TERN_ND,
    TERN_NL,
    TERN_NO,
    TERN_PC,
    TERN_PD,
    TERN_PS,
    TERN_PE,
    TERN_PI,
    TERN_PF,
    TERN_PO,
    TERN_SM,
    TERN_SC,
    TERN_SK,
    TERN_SO,
    TERN_ZS,
    TERN_ZL,
    TERN_ZP,
    TERN_CC,
    TERN_CF,
    TERN_CS,
    TERN_CO,
    TERN_CN,
} tern_category;

/* The character at `bytes` (left >= 1) and its length.  What is no UTF-8 gives TERN_REPLACEMENT, *valid false and the
 * length of the longest beginning of a character (at least 1), as the Unicode standard recommends (3.9, U+FFFD). */
size_t tern_utf8_decode(const char *bytes, size_t left, uint32_t *code, bool *valid);
size_t tern_utf8_encode(uint32_t code, char out[4]);
void tern_utf8_put(tern_text *out, uint32_t code);

/* Bytes at the end that may be the beginning of a character: 0 to 3. */
size_t tern_utf8_unfinished(const char *bytes, size_t count);

/* Adds the bytes with TERN_REPLACEMENT for what is no UTF-8: one for each longest beginning of a character, or
 * (each_byte) one for each byte, which is SentencePiece's way. */
void tern_utf8_mend(tern_text *out, const char *bytes, size_t count, bool each_byte);

tern_category tern_category_of(uint32_t code);
bool tern_is_space(uint32_t code); /* the property White_Space */
bool tern_is_number(uint32_t code);
bool tern_is_punctuation(
    uint32_t code);               /* category P, and the ASCII symbols that BERT counts as punctuation */
bool tern_is_word(uint32_t code); /* letters, marks, digits and connectors */

/* Adds the lower case of a character, which may be two (of U+0130). */
void tern_put_lower(tern_text *out, uint32_t code);
/* Adds the upper case: the character of whose lower case this is (one of them; U+00DF becomes SS). */
void tern_put_upper(tern_text *out, uint32_t code);

/* Adds the canonical decomposition of UTF-8 (NFD), or with `compose` its composition (NFC). */
void tern_normalise_canonical(tern_text *out, const char *bytes, size_t count, bool compose);

#endif
