/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, SC 2011). */
#include "base/base.h"

#include <math.h>

__extension__ typedef unsigned __int128 uint128;

void tern_rng_block(tern_rng rng, uint64_t index, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)rng.stream, c3 = (uint32_t)(rng.stream >> 32);
    uint32_t k0 = (uint32_t)rng.seed, k1 = (uint32_t)(rng.seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t tern_rng_u32(tern_rng rng, uint64_t n)
{
    uint32_t block[4];
    tern_rng_block(rng, n / 4, block);
    return block[n % 4];
}

double tern_rng_uniform(tern_rng rng, uint64_t n)
{
    return tern_rng_u32(rng, n) * 0x1p-32;
}

double tern_rng_normal(tern_rng rng, uint64_t n)
{
    uint32_t block[4]; /* one block holds the two uniforms of two normals: numbers 2i and 2i+1 */
    tern_rng_block(rng, n / 2, block);
    uint32_t a = block[n % 2 * 2], b = block[n % 2 * 2 + 1];
    double radius = sqrt(-2 * log((a + 0.5) * 0x1p-32));
    return radius * cos(6.283185307179586 * b * 0x1p-32);
}

uint64_t tern_rng_below(tern_rng rng, uint64_t n, uint64_t bound)
{
    uint32_t block[4];
    tern_rng_block(rng, n, block);
    uint64_t wide = (uint64_t)block[1] << 32 | block[0];
    return (uint64_t)((uint128)wide * bound >> 64);
}

void tern_rng_permute(tern_rng rng, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)tern_rng_below(rng, i, i);
        uint32_t swap = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swap;
    }
}

uint64_t tern_hash(const void *bytes, size_t count)
{
    const uint8_t *p = bytes;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}
