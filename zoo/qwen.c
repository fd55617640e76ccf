/* Qwen 2 (arXiv 2407.10671): Llama with biases on queries, keys and values; Qwen 3 (2505.09388) norms queries and keys by head
 * instead.  Both are in the file's weights; rotary pairs lie half a head apart. */
#include "language.h"

TERN_ARCHITECTURE(qwen2, "Qwen 2, Qwen 2.5", NULL, build_llama);
TERN_ARCHITECTURE(qwen3, "Qwen 3", NULL, build_llama);
