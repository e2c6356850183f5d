/* Preloaded into a program, makes it wait when it opens or executes a file, as on a network disk whose server does not respond.
 *
 * A thread that uses a file named NAME waits while the folder REELDECK_TEST_HOLD contains a file NAME. The file NAME.waits there
 * says that one does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void hold(const char *path) {
    const char *folder = getenv("REELDECK_TEST_HOLD");
    const char *slash = strrchr(path, '/');
    char held[4096], waits[4104];
    if (folder == NULL || snprintf(held, sizeof held, "%s/%s", folder, slash == NULL ? path : slash + 1) >= (int)sizeof held)
        return;
    if (access(held, F_OK) == 0) {
        snprintf(waits, sizeof waits, "%s.waits", held);
        mknod(waits, S_IFREG | 0600, 0);
    }
    while (access(held, F_OK) == 0)
        usleep(10000);
}

#define HOLDING(name)                                                                     \
    int name(const char *path, int flags, ...) {                                          \
        va_list rest;                                                                     \
        va_start(rest, flags);                                                            \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;         \
        va_end(rest);                                                                     \
        hold(path);                                                                       \
        int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);                    \
        return next(path, flags, mode);                                                   \
    }

HOLDING(open)
HOLDING(open64)

int execvp(const char *path, char *const arguments[]) {
    hold(path);
    int (*next)(const char *, char *const[]) = dlsym(RTLD_NEXT, "execvp");
    return next(path, arguments);
}
