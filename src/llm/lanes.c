/* Computing and copying of a language model's layers, measured. */
#include "llm/lanes.h"

enum { RUNS = 3 };

tern_status tern_llm_measure_windows(const tern_llm_account *account, tern_pool *pool, tern_windows *windows,
                                     tern_window_measured *measured)
{
    static const int32_t token = 0, position = 0, wanted = 0;
    const tern_program *p = account->one.program;
    tern_weights *weights = (tern_weights *)(uintptr_t)&account->weights;
    tern_store store = {0};
    tern_session *session = NULL;
    tern_status status = tern_windows_of(p, windows);
    for (int i = 0; status == TERN_OK && i < weights->count; i++)
        status = tern_store_lend(&store, weights->names[i], weights->tensors[i]);
    if (status == TERN_OK) status = tern_session_open(&session, p, &store, pool);
    if (status == TERN_OK) status = tern_session_bind(session, "tokens", &token);
    if (status == TERN_OK) status = tern_session_bind(session, "positions", &position);
    if (status == TERN_OK) status = tern_session_bind(session, "wanted", &wanted);
    tern_window_subject subject = {.windows = windows,
                                   .program = p,
                                   .session = session,
                                   .store = &store,
                                   .runs = RUNS,
                                   .copied = tern_llm_forget,
                                   .context = weights};
    if (status == TERN_OK) status = tern_windows_measure(&subject, measured);
    tern_session_close(session);
    for (int i = 0; i < weights->map_count; i++)
        tern_forget_pages(weights->maps[i].bytes, weights->maps[i].count);
    tern_store_close(&store);
    if (status != TERN_OK) tern_windows_free(windows);
    return status;
}
