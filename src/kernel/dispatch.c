/* Which instruction set's loops are used. */
#define _GNU_SOURCE
#include "kernel/peak.h"
#include "kernel/table.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(TERN_X86)
#include <cpuid.h>
#endif
#if defined(TERN_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

extern const tern_kernels tern_table_scalar;
#if defined(TERN_X86)
extern const tern_kernels tern_table_avx2, tern_table_avx512;
#endif
#if defined(TERN_AMX)
extern const tern_kernels tern_table_amx;
#endif

/* From the plainest to the fastest. */
static const tern_kernels *const known[] = {
    &tern_table_scalar,
#if defined(TERN_X86)
    &tern_table_avx2,
    &tern_table_avx512,
#endif
#if defined(TERN_AMX)
    &tern_table_amx,
#endif
};

static _Atomic(const tern_kernels *) chosen;

#if defined(TERN_X86)
/* Conversion from and to f16; clang before 16 does not know its name in __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

#if defined(TERN_AMX)
/* Tiles of bytes and of bf16; the system lets a process use their registers when it asks for them. */
static bool has_tiles(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* of arch_prctl */
    const unsigned features = 1u << 22 | 1u << 24 | 1u << 25;
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & features) == features &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5) && /* AVX512-BF16 */
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#endif

static bool usable(size_t i)
{
#if defined(TERN_AMX)
    if (i == 3) return usable(2) && has_tiles();
#endif
#if defined(TERN_X86)
    __builtin_cpu_init();
    if (i == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("bmi2") && has_f16c();
    if (i == 2)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi2") &&
               __builtin_cpu_supports("avx512vpopcntdq");
#endif
    return i == 0;
}

static const tern_kernels *best(void)
{
    size_t i = TERN_COUNT(known) - 1;
    while (i > 0 && !usable(i)) i--;
    return known[i];
}

const char *tern_isa_known(int i, bool *is_usable)
{
    if (i < 0 || (size_t)i >= TERN_COUNT(known)) return NULL;
    *is_usable = usable((size_t)i);
    return known[i]->name;
}

tern_status tern_isa_select(const char *name)
{
    const char *source = name ? "instruction set" : "TERN_ISA";
    if (!name) name = getenv("TERN_ISA");
    if (!name || !*name) {
        atomic_store(&chosen, best());
        return TERN_OK;
    }
    for (size_t i = 0; i < TERN_COUNT(known); i++) {
        if (strcmp(known[i]->name, name) != 0) continue;
        if (!usable(i))
            return tern_fail(TERN_USAGE, "%s: this processor cannot run %s; leave it unset or use %s", source,
                             name, best()->name);
        atomic_store(&chosen, known[i]);
        return TERN_OK;
    }
    return tern_fail(TERN_USAGE, "%s: expected scalar, avx2, avx512 or amx, found \"%s\"", source, name);
}

const tern_kernels *tern_kernels_get(void)
{
    const tern_kernels *table = atomic_load_explicit(&chosen, memory_order_acquire);
    if (table) return table;
    if (tern_isa_select(NULL) != TERN_OK) atomic_store(&chosen, best());
    return atomic_load(&chosen);
}

const char *tern_isa_name(void)
{
    return tern_kernels_get()->name;
}

const tern_peak *tern_peak_get(void)
{
    return tern_kernels_get()->peak;
}

const tern_peak *tern_peak_at(int i)
{
    return i >= 0 && (size_t)i < TERN_COUNT(known) && usable((size_t)i) ? known[i]->peak : NULL;
}
