// Makes each call of fsync wait until something opens the FIFO $HOLD/gate for writing. A file $HOLD/waits-N tells of the N-th call.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int fsync(int fd) {
  static atomic_int calls;
  char path[4096];
  snprintf(path, sizeof path, "%s/waits-%d", getenv("HOLD"), atomic_fetch_add(&calls, 1));
  close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  snprintf(path, sizeof path, "%s/gate", getenv("HOLD"));
  close(open(path, O_RDONLY | O_CLOEXEC));
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
