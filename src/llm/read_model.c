/* SentencePiece's tokenizer.model: a protocol buffer (sentencepiece_model.proto of that project, as field numbers).
 *     ModelProto       1 pieces: SentencePiece   2 trainer: TrainerSpec   3 normalizer: NormalizerSpec
 *     SentencePiece    1 piece (text)  2 score (float)  3 type
 *     TrainerSpec      3 model_type (1 unigram, 2 BPE, 3 word, 4 char)  24 treat_whitespace_as_suffix
 *                      35 byte_fallback  40 unk_id  41 bos_id  42 eos_id  43 pad_id
 *     NormalizerSpec   2 precompiled_charsmap  3 add_dummy_prefix  4 remove_extra_whitespaces  5 escape_whitespaces */
#include "llm/tokenizer_parts.h"

#include <string.h>

typedef struct tern_field {
    uint32_t number;
    uint64_t value; /* of varints and fixed numbers */
    const char *bytes;
    size_t size; /* of what has a length */
} tern_field;

typedef struct tern_buffer {
    const char *at, *end;
    bool bad;
} tern_buffer;

static uint64_t varint(tern_buffer *m)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (m->at >= m->end) break;
        uint8_t byte = (uint8_t)*m->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return value;
    }
    m->bad = true;
    return 0;
}

static bool next_field(tern_buffer *m, tern_field *f)
{
    if (m->bad || m->at >= m->end) return false;
    uint64_t key = varint(m), size = 0;
    *f = (tern_field){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case 0:
        f->value = varint(m);
        return !m->bad;
    case 1:
        size = 8;
        break;
    case 2:
        size = varint(m);
        break;
    case 5:
        size = 4;
        break;
    default:
        m->bad = true;
        break;
    }
    if (m->bad || size > (uint64_t)(m->end - m->at)) {
        m->bad = true;
        return false;
    }
    f->bytes = m->at;
    f->size = (size_t)size;
    m->at += size;
    if ((key & 7) != 2) memcpy(&f->value, f->bytes, f->size);
    return true;
}

static tern_buffer buffer_of(const tern_field *f)
{
    return (tern_buffer){.at = f->bytes, .end = f->bytes ? f->bytes + f->size : NULL};
}

static bool read_piece(tern_vocabulary *v, const tern_field *piece)
{
    tern_token *token = &v->tokens[v->count++];
    tern_buffer m = buffer_of(piece);
    tern_field f;
    *token = (tern_token){.text = "", .kind = TERN_TOKEN_NORMAL};
    while (next_field(&m, &f)) {
        if (f.number == 1 && f.bytes) token->text = f.bytes, token->size = (uint32_t)f.size;
        if (f.number == 2 && f.size == 4) {
            float score;
            memcpy(&score, f.bytes, 4);
            token->score = score;
        }
        if (f.number == 3)
            token->kind = f.value >= 1 && f.value <= 6 ? (tern_token_kind)f.value : TERN_TOKEN_NORMAL;
    }
    return !m.bad;
}

static tern_status read_trainer(tern_vocabulary *v, const tern_field *spec, const char *name)
{
    tern_buffer m = buffer_of(spec);
    tern_field f;
    uint64_t kind = 1;
    while (next_field(&m, &f)) {
        int32_t id = (int32_t)f.value;
        switch (f.number) {
        case 3:
            kind = f.value;
            break;
        case 24:
            if (f.value)
                return tern_fail(TERN_FAILED, "%s: treat_whitespace_as_suffix is not supported", name);
            break;
        case 35:
            v->byte_fallback = f.value;
            break;
        case 40:
            v->unknown = id;
            break;
        case 41:
            v->bos = id;
            break;
        case 42:
            v->eos = id;
            break;
        case 43:
            v->pad = id;
            break;
        default:
            break;
        }
    }
    if (kind != 1 && kind != 2)
        return tern_fail(TERN_FAILED, "%s: a SentencePiece model of type %d, expected 1 (unigram) or 2 (BPE)",
                         name, (int)kind);
    v->model = kind == 1 ? TERN_MODEL_UNIGRAM : TERN_MODEL_BPE;
    return m.bad ? tern_fail(TERN_FAILED, "%s: the trainer_spec is damaged", name) : TERN_OK;
}

static tern_status read_normaliser(tern_vocabulary *v, const tern_field *spec, const char *name)
{
    tern_buffer m = buffer_of(spec);
    tern_field f;
    tern_text_step step = {.kind = TERN_STEP_SENTENCEPIECE,
                           .text = "",
                           .add_prefix = true,
                           .remove_extra = true,
                           .escape = true};
    while (next_field(&m, &f)) {
        if (f.number == 2 && f.size) {
            char *copy = tern_arena_take(&v->arena, f.size + 1); /* ends with a NUL */
            if (!copy) return tern_no_memory(f.size, name);
            memcpy(copy, f.bytes, f.size);
            step.text = copy;
            step.size = f.size;
        }
        if (f.number == 3) step.add_prefix = f.value;
        if (f.number == 4) step.remove_extra = f.value;
        if (f.number == 5) step.escape = f.value;
    }
    v->normalise[0] = step;
    v->normalise_count = 1;
    v->spaces_escaped = true;
    v->strip_first = step.add_prefix || step.remove_extra;
    return m.bad ? tern_fail(TERN_FAILED, "%s: the normalizer_spec is damaged", name) : TERN_OK;
}

static tern_status read_fields(tern_vocabulary *v, const char *bytes, size_t count, const char *name)
{
    tern_buffer m = {.at = bytes, .end = bytes + count};
    tern_field f, trainer = {0}, normaliser = {0};
    size_t pieces = 0;
    while (next_field(&m, &f)) pieces += f.number == 1;
    if (m.bad || !pieces)
        return tern_fail(TERN_FAILED,
                         "%s: no SentencePiece model (%zu pieces, then byte %zu is not understood)", name,
                         pieces, (size_t)(m.at - bytes));
    v->tokens = tern_arena_take(&v->arena, pieces * sizeof *v->tokens);
    if (!v->tokens) return tern_no_memory(pieces * sizeof *v->tokens, name);
    m = (tern_buffer){.at = bytes, .end = bytes + count};
    while (next_field(&m, &f)) {
        if (f.number == 1 && !read_piece(v, &f))
            return tern_fail(TERN_FAILED, "%s: piece %d is damaged", name, v->count - 1);
        if (f.number == 2) trainer = f;
        if (f.number == 3) normaliser = f;
    }
    TERN_TRY(read_trainer(v, &trainer, name));
    return read_normaliser(v, &normaliser, name);
}

tern_status tern_vocabulary_model(tern_vocabulary *v, const char *bytes, size_t count, const char *name)
{
    *v = (tern_vocabulary){
        .unknown = 0, .bos = 1, .eos = 2, .pad = -1, .sentencepiece = true, .fuse_unknown = true};
    char *copy = tern_arena_take(&v->arena, count + 1);
    if (!copy) return tern_no_memory(count, name);
    memcpy(copy, bytes, count);
    tern_status status = read_fields(v, copy, count, name);
    if (status == TERN_OK && v->bos >= 0) v->prefix[v->prefix_count++] = v->bos;
    if (status != TERN_OK) tern_vocabulary_free(v);
    return status;
}
