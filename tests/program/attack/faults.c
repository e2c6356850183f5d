/* Runs a program and makes its n-th system call of one kind fail.
 *
 * usage: faults KIND N ERRNO FOLDER REPORT PROGRAM [ARGUMENT...]
 *
 * Why not LD_PRELOAD: rustix makes system calls without libc, and the renames and the creation of temporary files, which
 * matter most, go through rustix. A preloaded library does not see them. Building rustix with `use-libc` would test another
 * program than the one that users run. Why not strace: it is rarely installed, and it cannot shorten a write. A C compiler
 * is there on each machine that links Rust programs.
 *
 * So this is a tracer (ptrace). A seccomp filter stops the program only at system calls of the kind, so the rest runs at full
 * speed. Child processes are traced too.
 *
 * Only calls on files in FOLDER count. For `map` and `thread`, calls count after the first file in FOLDER was opened. With N
 * = 0, calls are only counted. The exit code is the program's, or 128 plus the signal. REPORT gets the number of counted calls
 * and, when one failed, what it was for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "faults.c knows the registers of x86-64 only"
#endif

enum argument { NONE, PATH, PATH_AT, FD, OUT_FD };

static const struct call {
    const char *kind;
    long number;
    enum argument argument;
} CALLS[] = {
    {"write", SYS_write, FD},
    {"write", SYS_pwrite64, FD},
    {"write", SYS_writev, FD},
    {"write", SYS_copy_file_range, OUT_FD},
    {"short", SYS_write, FD},
    {"short", SYS_pwrite64, FD},
    {"fsync", SYS_fsync, FD},
    {"fsync", SYS_fdatasync, FD},
    {"rename", SYS_rename, PATH},
    {"rename", SYS_renameat, PATH_AT},
    {"rename", SYS_renameat2, PATH_AT},
    {"open", SYS_open, PATH},
    {"open", SYS_openat, PATH_AT},
    {"read", SYS_read, FD},
    {"read", SYS_pread64, FD},
    {"eof", SYS_read, FD},
    {"eof", SYS_pread64, FD},
    {"stat", SYS_stat, PATH},
    {"stat", SYS_lstat, PATH},
    {"stat", SYS_fstat, FD},
    {"stat", SYS_newfstatat, PATH_AT},
    {"stat", SYS_statx, PATH_AT},
    {"stat", SYS_access, PATH},
    {"stat", SYS_faccessat, PATH_AT},
    {"list", SYS_getdents64, FD},
    {"mkdir", SYS_mkdir, PATH},
    {"mkdir", SYS_mkdirat, PATH_AT},
    {"unlink", SYS_unlink, PATH},
    {"unlink", SYS_unlinkat, PATH_AT},
    {"lock", SYS_flock, FD},
    {"map", SYS_mmap, NONE},
    {"map", SYS_mremap, NONE},
    {"thread", SYS_clone, NONE},
    {"thread", SYS_clone3, NONE},
};
enum { COUNT = sizeof CALLS / sizeof *CALLS };

static const char *kind, *folder;
static long wanted, error, counted;
static int started;
static char target[4096];

static void fail(const char *what) {
    fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
    exit(125);
}

static int is_kind(const struct call *call) { return strcmp(call->kind, kind) == 0; }

static void filter(void) {
    struct sock_filter code[2 * COUNT + 8];
    unsigned short n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < COUNT; i++) {
        /* The first open of a file in the folder starts the count of `map` and `thread`. */
        if (!is_kind(&CALLS[i]) && CALLS[i].number != SYS_openat) continue;
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS[i].number, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) fail("no seccomp filter");
}

/* A string in the memory of a traced process; empty if it cannot be read. */
static void text_at(pid_t pid, unsigned long at, char *text, size_t size) {
    size_t length = 0;
    text[0] = 0;
    while (length + sizeof(long) < size) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, pid, at + length, 0);
        if (errno) return;
        memcpy(text + length, &word, sizeof word);
        text[length + sizeof word] = 0;
        if (memchr(&word, 0, sizeof word)) return;
        length += sizeof word;
    }
}

static int link_of(pid_t pid, int fd, char *text, size_t size) {
    char path[64];
    if (fd == AT_FDCWD) snprintf(path, sizeof path, "/proc/%d/cwd", pid);
    else snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    ssize_t length = readlink(path, text, size - 1);
    text[length < 0 ? 0 : length] = 0;
    return length >= 0;
}

/* Whether the call is on a file in the folder. Its path is in `target` then. */
static int is_inside(pid_t pid, enum argument argument, const struct user_regs_struct *regs) {
    char name[2048] = "", base[2048] = "";
    int fd = argument == PATH ? AT_FDCWD : argument == OUT_FD ? (int)regs->rdx : (int)regs->rdi;
    if (argument == PATH || argument == PATH_AT) text_at(pid, argument == PATH ? regs->rdi : regs->rsi, name, sizeof name);
    if (name[0] == '/') {
        snprintf(target, sizeof target, "%s", name);
    } else {
        if (!link_of(pid, fd, base, sizeof base)) return 0;
        snprintf(target, sizeof target, "%s%s%s", base, name[0] ? "/" : "", name);
    }
    return strncmp(target, folder, strlen(folder)) == 0;
}

static char failed[4096];

static void stopped(pid_t pid) {
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, 0, &regs)) return;
    const struct call *call = NULL;
    for (int i = 0; i < COUNT && !call; i++)
        if (is_kind(&CALLS[i]) && CALLS[i].number == (long)regs.orig_rax) call = &CALLS[i];
    if (!call) {
        started |= is_inside(pid, PATH_AT, &regs);
        return;
    }
    if (call->argument == NONE) {
        if (!started) return;
        strcpy(target, kind);
    } else if (!is_inside(pid, call->argument, &regs)) {
        return;
    }
    int is_short = strcmp(kind, "short") == 0;
    if (is_short && regs.rdx < 2) return;
    if (++counted != wanted) return;
    strcpy(failed, target);
    if (is_short) {
        regs.rdx /= 2;
    } else {
        regs.orig_rax = -1;
        regs.rax = strcmp(kind, "eof") == 0 ? 0 : -error;
    }
    ptrace(PTRACE_SETREGS, pid, 0, &regs);
}

int main(int count, char **arguments) {
    if (count < 7) {
        fprintf(stderr, "usage: faults KIND N ERRNO FOLDER REPORT PROGRAM [ARGUMENT...]\n");
        return 125;
    }
    kind = arguments[1], wanted = atol(arguments[2]), error = atol(arguments[3]), folder = arguments[4];
    pid_t child = fork();
    if (child < 0) fail("no process");
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) fail("no tracing");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no filter");
        raise(SIGSTOP);
        filter();
        execv(arguments[6], arguments + 6);
        fail(arguments[6]);
    }
    int status;
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) fail("the process cannot be traced");
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, child, 0, options)) fail("the process cannot be traced");
    ptrace(PTRACE_CONT, child, 0, 0);
    int code = 125;
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) break;
        if (!WIFSTOPPED(status)) {
            if (pid != child) continue;
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            break; /* Processes that still run are killed together with their tracer. */
        }
        int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_SECCOMP) stopped(pid);
        /* A new thread or process begins with a SIGSTOP of the tracer. */
        int pass = event == 0 && signal != SIGSTOP && signal != SIGTRAP;
        ptrace(PTRACE_CONT, pid, 0, pass ? signal : 0);
    }
    FILE *report = fopen(arguments[5], "w");
    if (!report) fail(arguments[5]);
    fprintf(report, "%ld\n%s\n", counted, failed);
    fclose(report);
    return code;
}
