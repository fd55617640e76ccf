/* The architectures as a list. */
#include "language.h"

#define DECLARE(id) extern const tern_architecture tern_architecture_##id;
TERN_ARCHITECTURES(DECLARE)
#define LIST(id) &tern_architecture_##id,
static const tern_architecture *const architectures[] = {TERN_ARCHITECTURES(LIST) NULL};

const tern_architecture *tern_architecture_at(int index)
{
    return index >= 0 && index < (int)TERN_COUNT(architectures) ? architectures[index] : NULL;
}
