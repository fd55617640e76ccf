/* Programs that are run on what was emitted: synthesis, and make with a board's compiler and emulator. */
#define _GNU_SOURCE /* posix_spawn_file_actions_addchdir_np */
#include "emit/emit.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

tern_status tern_emit_tool(const char *folder, char *const arguments[], const char *log, const char *package)
{
    const char *name = arguments[0];
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = 0, error = posix_spawn_file_actions_init(&actions);
    if (error) return tern_fail(TERN_FAILED, "%s: %s", name, strerror(error));
    error = posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (!error) error = posix_spawnp(&child, name, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return tern_fail(TERN_FAILED, "%s cannot be started: %s; it is installed by %s", name,
                         strerror(error), package);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return tern_fail(TERN_FAILED, "%s: %s", name, strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s has failed in %s: see %s there", name, folder, log);
}

/* A number of the line that a board has printed; 0: it is not there. */
static double number(const char *text, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(text, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

tern_status tern_emit_run(const char *folder, tern_emit_result *result)
{
    char *const arguments[] = {"make", "-s", "run", NULL};
    char path[4096], *text;
    size_t size;
    TERN_TRY(tern_emit_tool(folder, arguments, "run.log", "scripts/setup --edge"));
    snprintf(path, sizeof path, "%s/result.json", folder);
    TERN_TRY(tern_read_file(path, &text, &size));
    *result = (tern_emit_result){.samples = (int)number(text, "samples"),
                                 .equal = (int)number(text, "equal"),
                                 .instructions = number(text, "instructions"),
                                 .busiest = number(text, "busiest_core"),
                                 .slowest = number(text, "slowest_parts"),
                                 .parts = number(text, "parts")};
    tern_release(text);
    if (result->samples > 0 && result->instructions > 0) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: no samples or instructions are counted there", path);
}
