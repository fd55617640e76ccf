/* All memory of Tern: aligned, zeroed, counted, and able to fail on demand. */
#define _GNU_SOURCE
#include "base/pages.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT 64
#define HUGE_FROM (2 * TERN_LARGE_PAGE) /* blocks of this size ask for huge pages */

/* A block's size stands in the 64 bytes before it. */
typedef struct tern_header {
    size_t bytes;
} tern_header;

static atomic_long allocations, fail_at;
static atomic_size_t held, held_peak;

static tern_header *header_of(void *memory)
{
    return (tern_header *)(void *)((char *)memory - ALIGNMENT);
}

static bool fails_now(void)
{
    atomic_fetch_add(&allocations, 1);
    long left = atomic_load(&fail_at);
    if (left <= 0) return false;
    return atomic_fetch_sub(&fail_at, 1) == 1;
}

static void count(size_t bytes)
{
    size_t now = atomic_fetch_add(&held, bytes) + bytes;
    size_t peak = atomic_load(&held_peak);
    while (now > peak && !atomic_compare_exchange_weak(&held_peak, &peak, now)) {
    }
}

void *tern_take(size_t bytes)
{
    if (fails_now() || bytes > SIZE_MAX / 2) return NULL;
    size_t whole = (bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; /* header and contents, rounded up */
    bool huge = whole >= HUGE_FROM;
    size_t alignment = huge ? TERN_LARGE_PAGE : ALIGNMENT;
    char *raw = aligned_alloc(alignment, (whole + alignment - 1) / alignment * alignment);
    if (!raw) return NULL;
    if (huge) madvise(raw, whole, MADV_HUGEPAGE); /* a hint: fewer page faults and TLB misses */
    memset(raw, 0, whole);
    ((tern_header *)(void *)raw)->bytes = bytes;
    count(bytes);
    return raw + ALIGNMENT;
}

void *tern_map_aligned(size_t bytes, int protection, int file)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    int flags = MAP_PRIVATE | (file < 0 ? MAP_ANONYMOUS : 0);
    if (bytes < TERN_LARGE_PAGE) return mmap(NULL, bytes ? bytes : 1, protection, flags, file, 0);
    char *room = mmap(NULL, whole + TERN_LARGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) return MAP_FAILED;
    size_t before = (size_t)(-(uintptr_t)room & (TERN_LARGE_PAGE - 1));
    void *memory = mmap(room + before, whole, protection, flags | MAP_FIXED, file, 0);
    bool failed = memory == MAP_FAILED;
    if (failed || before) munmap(room, failed ? whole + TERN_LARGE_PAGE : before);
    if (!failed) munmap(room + before + whole, TERN_LARGE_PAGE - before);
    return memory;
}

void *tern_take_pages(size_t bytes)
{
    if (fails_now() || bytes > SIZE_MAX / 2) return NULL;
    void *memory = tern_map_aligned(bytes, PROT_READ | PROT_WRITE, -1);
    if (memory == MAP_FAILED) return NULL;
    if (bytes >= TERN_LARGE_PAGE) madvise(memory, bytes, MADV_HUGEPAGE); /* a hint, as above */
    count(bytes);
    return memory;
}

bool tern_put_pages(const void *at, void *memory, size_t bytes)
{
    return mprotect(memory, bytes, PROT_READ) == 0 &&
           mremap(memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, at) != MAP_FAILED;
}

void tern_put_end(size_t bytes)
{
    atomic_fetch_sub(&held, bytes);
}

void tern_release_pages(void *memory, size_t bytes)
{
    if (!memory) return;
    atomic_fetch_sub(&held, bytes);
    munmap(memory, bytes ? bytes : 1);
}

void *tern_take_array(size_t items, size_t size)
{
    if (size && items > SIZE_MAX / 2 / size) return NULL;
    return tern_take(items * size);
}

void *tern_resize(void *memory, size_t old_bytes, size_t new_bytes)
{
    void *fresh = tern_take(new_bytes);
    if (!fresh) return NULL;
    if (memory) memcpy(fresh, memory, old_bytes < new_bytes ? old_bytes : new_bytes);
    tern_release(memory);
    return fresh;
}

void tern_release(void *memory)
{
    if (!memory) return;
    tern_header *header = header_of(memory);
    atomic_fetch_sub(&held, header->bytes);
    free(header);
}

char *tern_copy_string(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = tern_take(size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

long tern_fail_allocation(long nth)
{
    return atomic_exchange(&fail_at, nth);
}

long tern_allocations(void)
{
    return atomic_load(&allocations);
}

size_t tern_allocated(void)
{
    return atomic_load(&held);
}

size_t tern_allocated_peak(void)
{
    return atomic_load(&held_peak);
}

void tern_allocated_reset(void)
{
    atomic_store(&held_peak, atomic_load(&held));
}

double tern_resident_bytes(void)
{
    long whole, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &whole, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}
