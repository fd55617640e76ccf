/* Threads that share tasks.  Workers spin for a moment after a job, because the next one usually comes at once, then
 * sleep on a condition.
 *
 * A job is open while it has tasks left.  A worker joins an open job; whoever gave the job does tasks too, closes it when
 * none is left, and waits for those who joined: a worker that the system did not wake in time holds nobody up. */
#define _GNU_SOURCE
#include "base/base.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_THREADS 1024
#define SPINS        4000 /* about 50 us of polling before a worker sleeps */
#define OPEN         (1ull << 15)
#define JOB_SHIFT    16

/* A thread's share of a job: tasks that follow each other, the same ones in each job of as many tasks, so that what its thread
 * wrote in one operator it finds in its caches in the next.  Whoever is done with its own takes from those of others. */
typedef struct tern_share {
    _Alignas(64) atomic_llong next;
    int64_t end;
} tern_share;

struct tern_pool {
    int threads;
    pthread_t *workers;   /* [threads - 1] */
    pthread_mutex_t turn; /* held by the thread whose job runs */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_int asleep;
    atomic_bool closing;
    cpu_set_t allowed;                /* processors of whoever gave the last job that woke workers */
    bool kept_away;                   /* workers were told to wake elsewhere */
    _Alignas(64) atomic_ullong state; /* of the job: number << JOB_SHIFT | OPEN | workers that joined */
    tern_share *shares;               /* [threads] */
    tern_task *task;
    void *context;
};

typedef struct tern_worker {
    tern_pool *pool;
    int thread;
} tern_worker;

/* The pool whose task this thread runs, and the number it has there: nested jobs run in place. */
static _Thread_local tern_pool *inside;
static _Thread_local int inside_as;

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static void work(tern_pool *pool, int thread)
{
    inside = pool;
    inside_as = thread;
    for (int i = 0; i < pool->threads; i++) {
        tern_share *share = &pool->shares[(thread + i) % pool->threads];
        for (;;) {
            int64_t task = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed);
            if (task >= share->end) break;
            pool->task(pool->context, task, thread);
        }
    }
    inside = NULL;
}

/* Sleeping workers are to wake on other processors than this one, which is busy with the job: Linux wakes a thread where it slept
 * or where its waker is, and may take tens of milliseconds to move it away.  Called with the lock. */
static void keep_away(tern_pool *pool)
{
    cpu_set_t others;
    int here = sched_getcpu();
    if (here < 0 || sched_getaffinity(0, sizeof pool->allowed, &pool->allowed) != 0) return;
    others = pool->allowed;
    CPU_CLR((size_t)here, &others);
    if (CPU_COUNT(&others) == 0) return;
    for (int i = 0; i < pool->threads - 1; i++)
        pthread_setaffinity_np(pool->workers[i], sizeof others, &others);
    pool->kept_away = true;
}

/* Wait for a job newer than `seen` (spin, then sleep) or for the end. */
static unsigned long long wait_for_job(tern_pool *pool, unsigned long long seen)
{
    for (int i = 0; i < SPINS; i++) {
        unsigned long long state = atomic_load_explicit(&pool->state, memory_order_acquire);
        if (state >> JOB_SHIFT != seen) return state;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->asleep, 1);
    while (atomic_load(&pool->state) >> JOB_SHIFT == seen) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->asleep, 1);
    if (pool->kept_away) pthread_setaffinity_np(pthread_self(), sizeof pool->allowed, &pool->allowed);
    pthread_mutex_unlock(&pool->lock);
    return atomic_load(&pool->state);
}

/* Take part in the job of `state` unless it was closed. */
static void join_job(tern_pool *pool, unsigned long long state, int thread)
{
    unsigned long long job = state >> JOB_SHIFT;
    while (state & OPEN && state >> JOB_SHIFT == job) {
        if (!atomic_compare_exchange_weak(&pool->state, &state, state + 1)) continue;
        work(pool, thread);
        atomic_fetch_sub(&pool->state, 1);
        return;
    }
}

static void *worker_main(void *argument)
{
    tern_worker worker = *(tern_worker *)argument;
    tern_release(argument);
    unsigned long long seen = 0;
    for (;;) {
        unsigned long long state = wait_for_job(worker.pool, seen);
        seen = state >> JOB_SHIFT;
        if (atomic_load(&worker.pool->closing)) return NULL;
        join_job(worker.pool, state, worker.thread);
    }
}

/* Opens the next job; `flags` 0 only makes the workers look up. */
static void announce(tern_pool *pool, unsigned long long flags)
{
    unsigned long long job = (atomic_load(&pool->state) >> JOB_SHIFT) + 1;
    atomic_store(&pool->state, job << JOB_SHIFT | flags);
    if (atomic_load(&pool->asleep) == 0) return;
    pthread_mutex_lock(&pool->lock);
    keep_away(pool);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

/* What TERN_THREADS says, else one thread for each processor that this process may use. */
static tern_status default_threads(int *threads)
{
    const char *text = getenv("TERN_THREADS");
    if (text && *text) {
        char *end;
        long wanted = strtol(text, &end, 10);
        if (*end || wanted < 1 || wanted > MOST_THREADS)
            return tern_fail(TERN_USAGE, "TERN_THREADS is \"%s\", expected 1 to %d", text, MOST_THREADS);
        *threads = (int)wanted;
        return TERN_OK;
    }
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    *threads = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : online > 0 ? (int)online : 1;
    return TERN_OK;
}

static tern_status start_worker(tern_pool *pool, int thread)
{
    tern_worker *worker = tern_take(sizeof *worker);
    if (!worker) return tern_no_memory(sizeof *worker, "a thread");
    *worker = (tern_worker){pool, thread};
    if (pthread_create(&pool->workers[thread - 1], NULL, worker_main, worker) == 0) return TERN_OK;
    tern_release(worker);
    return tern_fail(TERN_FAILED, "cannot start thread %d; ask for fewer with --threads", thread + 1);
}

tern_status tern_pool_open(tern_pool **pool, int threads)
{
    if (threads <= 0) TERN_TRY(default_threads(&threads));
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    tern_pool *p = tern_take(sizeof *p);
    if (!p) return tern_no_memory(sizeof *p, "a thread pool");
    p->workers = tern_take_array((size_t)threads, sizeof *p->workers);
    p->shares = tern_take_array((size_t)threads, sizeof *p->shares);
    if (!p->workers || !p->shares) {
        tern_release(p->workers);
        tern_release(p->shares);
        tern_release(p);
        return tern_no_memory((size_t)threads * (sizeof *p->workers + sizeof *p->shares), "a thread pool");
    }
    pthread_mutex_init(&p->turn, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->threads = 1;
    for (int i = 1; i < threads; i++) {
        tern_status status = start_worker(p, i);
        if (status != TERN_OK) {
            tern_pool_close(p);
            return status;
        }
        p->threads++;
    }
    *pool = p;
    return TERN_OK;
}

void tern_pool_close(tern_pool *pool)
{
    if (!pool) return;
    atomic_store(&pool->closing, true);
    announce(pool, 0);
    for (int i = 0; i < pool->threads - 1; i++) pthread_join(pool->workers[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
    tern_release(pool->workers);
    tern_release(pool->shares);
    tern_release(pool);
}

int tern_pool_threads(const tern_pool *pool)
{
    return pool ? pool->threads : 1;
}

void tern_pool_run(tern_pool *pool, int64_t tasks, tern_task *task, void *context)
{
    if (!pool || pool->threads == 1 || tasks <= 1 || inside) {
        int thread =
            inside && inside == pool ? inside_as : 0; /* scratch memory is by thread: keep the number */
        for (int64_t i = 0; i < tasks; i++) task(context, i, thread);
        return;
    }
    pthread_mutex_lock(&pool->turn);
    pool->task = task;
    pool->context = context;
    for (int i = 0; i < pool->threads; i++) {
        atomic_store_explicit(&pool->shares[i].next, tasks * i / pool->threads, memory_order_relaxed);
        pool->shares[i].end = tasks * (i + 1) / pool->threads;
    }
    announce(pool, OPEN);
    work(pool, 0);
    atomic_fetch_and(&pool->state, ~OPEN);
    for (int spins = 0; atomic_load(&pool->state) & (OPEN - 1);) {
        if (++spins < SPINS)
            relax();
        else
            sched_yield();
    }
    pthread_mutex_unlock(&pool->turn);
}

#define COPY_BYTES ((size_t)128 << 10) /* by one task */

typedef struct copying {
    char *to;
    const char *from;
    size_t bytes;
} copying;

static void copy_task(void *context, int64_t task, int thread)
{
    const copying *c = context;
    size_t at = (size_t)task * COPY_BYTES, left = c->bytes - at;
    (void)thread;
    memcpy(c->to + at, c->from + at, left < COPY_BYTES ? left : COPY_BYTES);
}

void tern_pool_copy(tern_pool *pool, void *to, const void *from, size_t bytes)
{
    copying c = {to, from, bytes};
    tern_pool_run(pool, (int64_t)((bytes + COPY_BYTES - 1) / COPY_BYTES), copy_task, &c);
}
