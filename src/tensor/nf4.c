/* 4-bit NormalFloat (QLoRA, Dettmers et al., arXiv 2305.14314): the levels of a block are quantiles of a normal
 * distribution, scaled by the block's largest magnitude.  Codes, rounding and order are those of bitsandbytes. */
#include "tensor/packed.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 64, BLOCKS = 256 }; /* elements of a block; blocks that share a scale in nf4x2 */

const float tern_nf4_levels[16] = {-1.0F,
                                   -0.6961928009986877F,
                                   -0.5250730514526367F,
                                   -0.39491748809814453F,
                                   -0.28444138169288635F,
                                   -0.18477343022823334F,
                                   -0.09105003625154495F,
                                   0.0F,
                                   0.07958029955625534F,
                                   0.16093020141124725F,
                                   0.24611230194568634F,
                                   0.33791524171829224F,
                                   0.44070982933044434F,
                                   0.5626170039176941F,
                                   0.7229568362236023F,
                                   1.0F};

/* The nearest level; half way goes to the lower one. */
static uint8_t level_of(float x)
{
    int low = 0, high = 15;
    while (low < high) {
        int middle = (low + high) / 2;
        if (x > (tern_nf4_levels[middle] + tern_nf4_levels[middle + 1]) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low;
}

/* Two indices a byte, the first in the high half. */
static int get_level(const uint8_t *nibbles, int64_t i)
{
    return i & 1 ? nibbles[i >> 1] & 15 : nibbles[i >> 1] >> 4;
}

static void set_level(uint8_t *nibbles, int64_t i, int level)
{
    uint8_t *byte = &nibbles[i >> 1];
    *byte = (uint8_t)(i & 1 ? (*byte & 0xf0) | level : (*byte & 15) | level << 4);
}

/* ---- nf4: [largest magnitude f32][indices] --------------------------------------------------------------------- */

void tern_nf4_unpack(const void *block, float *out)
{
    const uint8_t *b = block;
    float most;
    memcpy(&most, b, 4);
    for (int i = 0; i < BLOCK; i++) out[i] = tern_nf4_levels[get_level(b + 4, i)] * most;
}

static void nf4_pack(void *block, const float *in)
{
    uint8_t *b = block;
    float most = 1e-38F;
    for (int i = 0; i < BLOCK; i++) most = fmaxf(most, fabsf(in[i]));
    memcpy(b, &most, 4);
    for (int i = 0; i < BLOCK; i++) set_level(b + 4, i, level_of(in[i] / most));
}
TERN_PACKED(nf4, BLOCK, 4 + BLOCK / 2)

void tern_nf4_part(const void *storage, int64_t first, int64_t count, float *out)
{
    for (int64_t i = first, end = first + count; i < end;) {
        const uint8_t *b = (const uint8_t *)storage + i / BLOCK * (4 + BLOCK / 2);
        int64_t stop = (i / BLOCK + 1) * BLOCK < end ? (i / BLOCK + 1) * BLOCK : end;
        float most;
        memcpy(&most, b, 4);
        for (; i < stop; i++) *out++ = tern_nf4_levels[get_level(b + 4, i % BLOCK)] * most;
    }
}

void tern_nf4_scales(const void *storage, int64_t first, int64_t count, float *out)
{
    const uint8_t *b = (const uint8_t *)storage + first * (4 + BLOCK / 2);
    for (int64_t i = 0; i < count; i++) memcpy(out + i, b + i * (4 + BLOCK / 2), 4);
}

/* ---- nf4x2: 256 such blocks, their magnitudes in 8 bits: [scale f32][mean f32][code u8 x 256][indices] ------------ */

/* The codes of "dynamic" 8-bit numbers in ascending order: sign, decade 10^(i-6), linear fraction in 2^i steps; zero is
 * code 127, one is 255. */
static float dynamic(int code)
{
    static const float decade[7] = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
    if (code == 127) return 0;
    if (code == 255) return 1;
    int j = code > 127 ? code - 127 : 127 - code, i = 0; /* j = 1 .. 127 */
    while (j >> (i + 1)) i++;
    float steps = (float)(1 << i), k = (float)(j - (1 << i));
    float value = decade[i] * (0.1F + 0.9F * (k + 0.5F) / steps);
    return code > 127 ? value : -value;
}

static uint8_t dynamic_code(float x)
{
    int low = 0, high = 255;
    while (low < high) {
        int middle = (low + high) / 2;
        if (x > (dynamic(middle) + dynamic(middle + 1)) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low;
}

typedef struct tern_nf4x2 {
    float scale, mean;
    uint8_t codes[BLOCKS];
} tern_nf4x2; /* followed by the indices */

enum { GROUP = BLOCK * BLOCKS, GROUP_BYTES = (int)sizeof(tern_nf4x2) + GROUP / 2 };

static float value_at(const tern_nf4x2 *head, const uint8_t *nibbles, int64_t i)
{
    return tern_nf4_levels[get_level(nibbles, i)] *
           (dynamic(head->codes[i / BLOCK]) * head->scale + head->mean);
}

void tern_nf4x2_unpack(const void *block, float *out)
{
    tern_nf4x2 head;
    memcpy(&head, block, sizeof head);
    for (int b = 0; b < BLOCKS; b++) {
        float most = dynamic(head.codes[b]) * head.scale + head.mean;
        for (int i = b * BLOCK; i < (b + 1) * BLOCK; i++)
            out[i] = tern_nf4_levels[get_level((const uint8_t *)block + sizeof head, i)] * most;
    }
}

void tern_nf4x2_part(const void *storage, int64_t first, int64_t count, float *out)
{
    tern_nf4x2 head;
    for (int64_t i = first, end = first + count; i < end;) {
        const uint8_t *group = (const uint8_t *)storage + i / GROUP * GROUP_BYTES;
        int64_t stop = (i / BLOCK + 1) * BLOCK < end ? (i / BLOCK + 1) * BLOCK : end;
        if (i == first || i % GROUP == 0) memcpy(&head, group, sizeof head);
        float most = dynamic(head.codes[i % GROUP / BLOCK]) * head.scale + head.mean;
        for (; i < stop; i++) *out++ = tern_nf4_levels[get_level(group + sizeof head, i % GROUP)] * most;
    }
}

void tern_nf4x2_scales(const void *storage, int64_t first, int64_t count, float *out)
{
    tern_nf4x2 head;
    for (int64_t i = first; i < first + count; i++) {
        if (i == first || i % BLOCKS == 0)
            memcpy(&head, (const uint8_t *)storage + i / BLOCKS * GROUP_BYTES, sizeof head);
        out[i - first] = dynamic(head.codes[i % BLOCKS]) * head.scale + head.mean;
    }
}

const uint8_t *tern_nf4_indices(const void *storage, int64_t block)
{
    return (const uint8_t *)storage + block * (4 + BLOCK / 2) + 4;
}

const uint8_t *tern_nf4x2_indices(const void *storage, int64_t block)
{
    return (const uint8_t *)storage + block / BLOCKS * GROUP_BYTES + sizeof(tern_nf4x2) +
           block % BLOCKS * (BLOCK / 2);
}

void tern_nf4x2_decode(const void *storage, int64_t first, int64_t count, double *out)
{
    tern_nf4x2 head;
    for (int64_t i = first; i < first + count; i++) {
        const uint8_t *group = (const uint8_t *)storage + i / GROUP * GROUP_BYTES;
        if (i == first || i % GROUP == 0) memcpy(&head, group, sizeof head);
        *out++ = (double)value_at(&head, group + sizeof head, i % GROUP);
    }
}

/* Code the magnitudes of the blocks: mean, largest distance from it, distances.  Blocks behind the tensor have none (-1). */
static void code_magnitudes(tern_nf4x2 *head, const float *most)
{
    double sum = 0;
    int blocks = 0;
    for (int b = 0; b < BLOCKS; b++) {
        sum += most[b] >= 0 ? (double)most[b] : 0;
        blocks += most[b] >= 0;
    }
    *head = (tern_nf4x2){.mean = blocks ? (float)(sum / blocks) : 0};
    for (int b = 0; b < BLOCKS; b++)
        if (most[b] >= 0) head->scale = fmaxf(head->scale, fabsf(most[b] - head->mean));
    for (int b = 0; b < BLOCKS; b++)
        head->codes[b] =
            head->scale > 0 && most[b] >= 0 ? dynamic_code((most[b] - head->mean) / head->scale) : 127;
}

/* Elements [first, first + count) of one group from `in`; the others stay what they are.  A group that was empty ends with the
 * last of them. */
static void encode_group(uint8_t *group, int64_t first, int64_t count, const double *in)
{
    tern_nf4x2 old, head;
    uint8_t *nibbles = group + sizeof old;
    float most[BLOCKS];
    memcpy(&old, group, sizeof old);
    bool whole = count == GROUP, fresh = old.scale == 0 && old.mean == 0;
    for (int b = 0; b < BLOCKS; b++) most[b] = -1;
    for (int64_t i = 0; i < GROUP; i++) {
        bool given = i >= first && i < first + count;
        if (!given && (whole || fresh)) continue;
        float x = given ? (float)in[i - first] : value_at(&old, nibbles, i);
        if (!given && x == 0) continue; /* perhaps behind the tensor */
        most[i / BLOCK] = fmaxf(most[i / BLOCK], isfinite(x) ? fabsf(x) : 0);
    }
    code_magnitudes(&head, most);
    memcpy(group, &head, sizeof head);
    for (int64_t i = 0; i < GROUP; i++) {
        bool given = i >= first && i < first + count;
        float x = given ? (float)in[i - first] : fresh ? 0 : value_at(&old, nibbles, i);
        float divisor =
            fmaxf(most[i / BLOCK], 1e-38F); /* the magnitude itself: its coding does not move an index */
        set_level(nibbles, i, level_of(isfinite(x) ? x / divisor : 0));
    }
}

void tern_nf4x2_encode(void *storage, int64_t first, int64_t count, const double *in)
{
    while (count > 0) {
        int64_t skip = first % GROUP, part = GROUP - skip < count ? GROUP - skip : count;
        encode_group((uint8_t *)storage + first / GROUP * GROUP_BYTES, skip, part, in);
        first += part;
        count -= part;
        in += part;
    }
}
