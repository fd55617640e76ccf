/* run: executes programs.  A store holds parameters and kept states by name; a session binds a program to a store, an
 * arena and the caller's inputs. */
#ifndef TERN_RUN_H
#define TERN_RUN_H

#include "plan/plan.h"

/* Named tensors: what a checkpoint saves.  Shared by the training and the inference program of a net. */
typedef struct tern_store {
    tern_tensor *tensors;
    char **names;
    bool *lent; /* the memory is somebody else's */
    int count, capacity;
    int file;          /* a file that holds what is not lent; 0: main memory does */
    size_t file_bytes; /* of it */
    uint64_t version; /* grows whenever contents change: what was prepared from them is then prepared again */
} tern_store;

void tern_store_close(tern_store *store);
int tern_store_find(const tern_store *store, const char *name); /* index or -1 */
/* The tensor of that name; made and initialised (reproducibly from seed and name) when it is new.  Fails when a tensor
 * of that name has another type. */
void tern_initialise(const tern_tensor *tensor, tern_init init, uint64_t seed,
                     const char *name); /* zeroed before */
tern_status tern_store_need(tern_store *store, const char *name, const tern_type *type, tern_init init,
                            uint64_t seed, int *index);

/* Add a tensor whose memory stays the caller's and is only read: weights of a mapped file.  The name is new. */
tern_status tern_store_lend(tern_store *store, const char *name, tern_tensor tensor);

/* The tensors, those that are lent apart, are from now on in a file that nobody sees, in `folder`, and mapped: pages that nobody looks at
 * take no main memory.  On failure the store is as it was.  No session may be open on it. */
tern_status tern_store_in_file(tern_store *store, const char *folder);
/* Of such a store: main memory is given back; what is looked at is read again. */
void tern_store_forget(const tern_store *store);

/* Add the tensors of a checkpoint; *document is its JSON text, the caller's to release (untouched on failure). */
tern_status tern_store_read(tern_store *store, const char *path, char **document);

typedef struct tern_session tern_session;

/* program and store must outlive the session; pool may be NULL (one thread). */
tern_status tern_session_open(tern_session **session, const tern_program *program, tern_store *store,
                              tern_pool *pool);
void tern_session_close(tern_session *session);

/* Memory of an input: the session reads `data` (contiguous, the input's type) at each run and does not own it. */
tern_status tern_session_bind(tern_session *session, const char *input, const void *data);
/* One run of the program.  `run` numbers it: random operators depend on (graph seed, run). */
tern_status tern_session_run(tern_session *session, uint64_t run);
/* An output of the last run; valid until the next one. */
tern_status tern_session_output(tern_session *session, const char *name, tern_tensor *out);
/* A state as the last run left it. */
tern_status tern_session_state(tern_session *session, const char *name, tern_tensor *out);
/* Memory of a value of the program after a run: of those that are kept, their content.  NULL: nowhere. */
const void *tern_session_memory(const tern_session *session, tern_value value);
/* A new sequence: states that are not kept go back to their initial values. */
void tern_session_reset(tern_session *session);

/* Whether the following runs are counted, step by step, from the operands (spikes are counted, not assumed).  The
 * arrays below have program->step_count entries and grow until tern_session_clear. */
void tern_session_count(tern_session *session, bool on);
void tern_session_clear(tern_session *session);
const tern_work *tern_session_counters(const tern_session *session);
/* Ones in the first output of each step, where that is bits: the spikes that were fired. */
const double *tern_session_spikes(const tern_session *session);
/* Bytes of operands that each step read and wrote. */
const double *tern_session_bytes(const tern_session *session);
/* Seconds that each step took, summed while counting. */
const double *tern_session_seconds(const tern_session *session);
size_t tern_session_arena_bytes(const tern_session *session);

#endif
