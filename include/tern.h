/* tern.h: the public interface of libtern, neural networks under a budget.
 *
 * A net is built as a graph of operators, the graph is planned into a program, and the program is run, costed,
 * simulated or emitted.  Functions return a tern_status; on failure tern_message() says what went wrong, where,
 * what was expected and what to do.  No function exits or prints unless its comment says so. */
#ifndef TERN_H
#define TERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_VERSION "0.1.0"

/* ---- status ------------------------------------------------------------------------------------------ */

typedef enum tern_status {
    TERN_OK = 0,
    TERN_FAILED = 1,        /* bad file, bad data, a system call that failed */
    TERN_USAGE = 2,         /* wrong flag, unknown name, contradictory options */
    TERN_NO_FIT = 3,        /* does not fit the budget */
    TERN_NO_MEMORY = 4,     /* an allocation failed; exit status 1 */
    TERN_INTERRUPTED = 130, /* stopped by the user */
} tern_status;

/* Message of the last failure on this thread ("" when there was none).  Valid until the next failure. */
const char *tern_message(void);

/* ---- tensors ----------------------------------------------------------------------------------------- */

typedef enum tern_dtype {
    TERN_F32,
    TERN_F16,
    TERN_BF16,
    TERN_F64,
    TERN_I32,
    TERN_I16,
    TERN_I8,
    TERN_U8,
    TERN_BIT, /* packed spikes, one bit an element */
    TERN_DTYPES
} tern_dtype;

#define TERN_MAX_RANK 6

typedef struct tern_shape {
    int rank;
    int64_t dim[TERN_MAX_RANK];
} tern_shape;

/* TERN_SHAPE(128, 784): a shape from its dimensions. */
#define TERN_SHAPE(...)                                                                                      \
    ((tern_shape){.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = {__VA_ARGS__}})

/* A view of memory: format, shape and where the elements are (contiguous, row-major). */
typedef struct tern_tensor {
    tern_dtype dtype;
    tern_shape shape;
    void *data;
} tern_tensor;

#ifdef __cplusplus
}
#endif
#endif
