/* Makes one call on the files of a folder fail, and counts the calls. Loaded in front of the C library (LD_PRELOAD).
 *
 * SYNCTABLE_FAULT_FOLDER  the folder; calls on other files are left alone
 * SYNCTABLE_FAULT_CALL    which calls: write, sync, open, resize, rename
 * SYNCTABLE_FAULT_AT      the how manieth of them fails, from 1; 0 for none
 * SYNCTABLE_FAULT_STICKY  1: all later ones fail, too
 * SYNCTABLE_FAULT_ERROR   EIO, ENOSPC; kill: the process ends before the call, by SIGKILL; short: half of the bytes are written;
 *                         torn: so, and the process ends by SIGKILL; lost: the sync fails with EIO and what was
 *                         written since the last sync is gone, as on file systems that drop pages they cannot write
 * SYNCTABLE_FAULT_REPORT  a file: "hit" when the first call fails, and the number of calls of each kind at the end
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { WRITE, SYNC, OPEN, RESIZE, RENAME, CALLS };
static const char *const NAMES[CALLS] = {"write", "sync", "open", "resize", "rename"};

/* What was in a file before it was written, the latest first. */
struct undo {
    struct undo *earlier;
    dev_t device;
    ino_t file;
    off64_t size, offset;
    size_t length;
    char bytes[];
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char folder[PATH_MAX], report[PATH_MAX];
static int wanted = CALLS, sticky, is_short, is_torn, is_lost, is_kill, number;
static long at, counts[CALLS];
static struct undo *undos;

/* The C library's own function of the name. */
#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static void say(const char *text) {
    int fd = syscall(SYS_openat, AT_FDCWD, report, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (fd >= 0) {
        if (syscall(SYS_write, fd, text, strlen(text)) < 0) abort();
        syscall(SYS_close, fd);
    }
}

__attribute__((constructor)) static void begin(void) {
    const char *in = getenv("SYNCTABLE_FAULT_FOLDER"), *call = getenv("SYNCTABLE_FAULT_CALL");
    const char *error = getenv("SYNCTABLE_FAULT_ERROR"), *to = getenv("SYNCTABLE_FAULT_REPORT");
    const char *when = getenv("SYNCTABLE_FAULT_AT"), *all = getenv("SYNCTABLE_FAULT_STICKY");
    if (!in || !call || !error || !to || !when || !all) return;
    snprintf(folder, sizeof folder, "%s", in);
    snprintf(report, sizeof report, "%s", to);
    for (int kind = 0; kind < CALLS; kind++)
        if (!strcmp(call, NAMES[kind])) wanted = kind;
    at = atol(when);
    sticky = atoi(all);
    is_torn = !strcmp(error, "torn");
    is_short = is_torn || !strcmp(error, "short");
    is_lost = !strcmp(error, "lost");
    is_kill = !strcmp(error, "kill");
    number = strcmp(error, "ENOSPC") ? EIO : ENOSPC;
}

__attribute__((destructor)) static void end(void) {
    char line[64];
    if (!*report) return;
    for (int kind = 0; kind < CALLS; kind++) {
        snprintf(line, sizeof line, "%s %ld\n", NAMES[kind], counts[kind]);
        say(line);
    }
}

static int below(const char *path) {
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && path[length] == '/';
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

static int ours(int fd) {
    char path[PATH_MAX];
    int saved = errno, is = path_of(fd, path) && below(path);
    errno = saved;
    return is;
}

static int ours_at(int dir, const char *name) {
    char path[PATH_MAX * 2] = "";
    if (name[0] == '/') return below(name);
    if (dir == AT_FDCWD ? !getcwd(path, PATH_MAX) : !path_of(dir, path)) return 0;
    strcat(path, "/");
    strncat(path, name, PATH_MAX - 1);
    return below(path);
}

/* Counts a call; true if it has to fail. */
static int fails(enum call kind) {
    pthread_mutex_lock(&lock);
    long count = ++counts[kind];
    int now = (int)kind == wanted && at && (count == at || (sticky && count > at));
    if (now && count == at) say("hit\n");
    if (now && is_kill) raise(SIGKILL);
    pthread_mutex_unlock(&lock);
    if (now) errno = number;
    return now;
}

/* Remembers what a change of `length` bytes at `offset` removes. */
static void remember(int fd, off64_t offset, off64_t length) {
    struct stat64 now;
    int saved = errno, flags = fcntl(fd, F_GETFL);
    if (!is_lost || (flags & O_DSYNC) || fstat64(fd, &now) || !S_ISREG(now.st_mode)) goto out;
    off64_t kept = offset + length < now.st_size ? length : now.st_size - offset;
    if (kept < 0) kept = 0;
    struct undo *undo = malloc(sizeof *undo + kept);
    if (!undo) abort();
    *undo = (struct undo){undos, now.st_dev, now.st_ino, now.st_size, offset, 0};
    if (kept) {
        /* Closing another descriptor of a file lets go of its locks, so only one that may be read will do. */
        if ((flags & O_ACCMODE) == O_WRONLY) fprintf(stderr, "synctable: a file that is only written cannot be undone\n");
        else undo->length = syscall(SYS_pread64, fd, undo->bytes, kept, offset) == kept ? kept : 0;
    }
    undos = undo;
out:
    errno = saved;
}

/* The file was synced: forgets its changes, or takes them back first. */
static void settle(int fd, int take_back) {
    struct stat64 file;
    int saved = errno;
    if (is_lost && !fstat64(fd, &file)) {
        struct undo **link = &undos, *undo;
        while ((undo = *link)) {
            if (undo->device != file.st_dev || undo->file != file.st_ino) {
                link = &undo->earlier;
                continue;
            }
            if (take_back) {
                if (undo->length && syscall(SYS_pwrite64, fd, undo->bytes, undo->length, undo->offset) < 0)
                    perror("synctable: undo");
                if (syscall(SYS_ftruncate, fd, undo->size)) perror("synctable: undo");
            }
            *link = undo->earlier;
            free(undo);
        }
    }
    errno = saved;
}

static ssize_t gathered(int fd, const struct iovec *parts, int count, off64_t offset, int here) {
    size_t length = 0;
    for (int part = 0; part < count; part++) length += parts[part].iov_len;
    int fail = ours(fd) && fails(WRITE);
    if (fail && !is_short) return -1;
    pthread_mutex_lock(&lock);
    off64_t from = offset;
    if (here) {
        struct stat64 now;
        from = lseek64(fd, 0, SEEK_CUR);
        if ((fcntl(fd, F_GETFL) & O_APPEND) && !fstat64(fd, &now)) from = now.st_size;
    }
    if (from >= 0 && ours(fd)) remember(fd, from, length);
    ssize_t done;
    if (fail && length > 1) {
        char *bytes = malloc(length), *next = bytes;
        if (!bytes) abort();
        for (int part = 0; part < count; next += parts[part++].iov_len)
            memcpy(next, parts[part].iov_base, parts[part].iov_len);
        done = here ? syscall(SYS_write, fd, bytes, length / 2)
                    : syscall(SYS_pwrite64, fd, bytes, length / 2, offset);
        free(bytes);
    } else {
        done = here ? REAL(writev)(fd, parts, count) : REAL(pwritev64)(fd, parts, count, offset);
    }
    if (fail && is_torn) raise(SIGKILL);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec part = {(void *)bytes, length};
    if (!ours(fd)) return REAL(write)(fd, bytes, length);
    return gathered(fd, &part, 1, 0, 1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!ours(fd)) return REAL(writev)(fd, parts, count);
    return gathered(fd, parts, count, 0, 1);
}
#define PWRITE(name, type)                                                        \
    ssize_t name(int fd, const void *bytes, size_t length, type offset) {         \
        struct iovec part = {(void *)bytes, length};                              \
        if (!ours(fd)) return REAL(name)(fd, bytes, length, offset);              \
        return gathered(fd, &part, 1, offset, 0);                                 \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
#define PWRITEV(name, type)                                                       \
    ssize_t name(int fd, const struct iovec *parts, int count, type offset) {     \
        if (!ours(fd)) return REAL(name)(fd, parts, count, offset);               \
        return gathered(fd, parts, count, offset, 0);                             \
    }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define SYNCED(fd, call)                                                          \
    if (!ours(fd)) return call;                                                   \
    pthread_mutex_lock(&lock);                                                    \
    int failed = fails(SYNC) ? -1 : call;                                         \
    settle(fd, failed);                                                           \
    pthread_mutex_unlock(&lock);                                                  \
    return failed;
int fsync(int fd) { SYNCED(fd, REAL(fsync)(fd)) }
int fdatasync(int fd) { SYNCED(fd, REAL(fdatasync)(fd)) }
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    /* It promises nothing, so what was written can still be lost. */
    if (ours(fd) && fails(SYNC)) return -1;
    return REAL(sync_file_range)(fd, offset, length, flags);
}
int msync(void *start, size_t length, int flags) {
    /* The store's are the only mapped files that are synced. */
    if ((flags & MS_SYNC) && fails(SYNC)) return -1;
    return REAL(msync)(start, length, flags);
}

#define OPENED(dir, name, call)                                                   \
    mode_t mode = 0;                                                              \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                        \
        va_list rest;                                                             \
        va_start(rest, flags);                                                    \
        mode = va_arg(rest, mode_t);                                              \
        va_end(rest);                                                             \
    }                                                                             \
    if ((flags & O_ACCMODE) != O_RDONLY && ours_at(dir, name) && fails(OPEN)) return -1; \
    return call;
int open(const char *name, int flags, ...) { OPENED(AT_FDCWD, name, REAL(open)(name, flags, mode)) }
int open64(const char *name, int flags, ...) { OPENED(AT_FDCWD, name, REAL(open64)(name, flags, mode)) }
int openat(int dir, const char *name, int flags, ...) { OPENED(dir, name, REAL(openat)(dir, name, flags, mode)) }
int openat64(int dir, const char *name, int flags, ...) { OPENED(dir, name, REAL(openat64)(dir, name, flags, mode)) }

#define TRUNCATE(name, type)                                                      \
    int name(int fd, type size) {                                                 \
        struct stat64 now;                                                        \
        if (!ours(fd)) return REAL(name)(fd, size);                               \
        if (fails(RESIZE)) return -1;                                             \
        pthread_mutex_lock(&lock);                                                \
        if (!fstat64(fd, &now)) remember(fd, size, now.st_size > size ? now.st_size - size : 0); \
        int done = REAL(name)(fd, size);                                          \
        pthread_mutex_unlock(&lock);                                              \
        return done;                                                              \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
#define FALLOCATE(name, type)                                                     \
    int name(int fd, int mode, type offset, type length) {                        \
        if (ours(fd) && fails(RESIZE)) return -1;                                 \
        return REAL(name)(fd, mode, offset, length);                              \
    }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)
#define POSIX_FALLOCATE(name, type)                                               \
    int name(int fd, type offset, type length) {                                  \
        if (ours(fd) && fails(RESIZE)) return number;                             \
        return REAL(name)(fd, offset, length);                                    \
    }
POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

#define MOVED(dir, name, call)                                                    \
    if (ours_at(dir, name) && fails(RENAME)) return -1;                           \
    return call;
int rename(const char *from, const char *to) { MOVED(AT_FDCWD, to, REAL(rename)(from, to)) }
int renameat(int a, const char *from, int b, const char *to) { MOVED(b, to, REAL(renameat)(a, from, b, to)) }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    MOVED(b, to, REAL(renameat2)(a, from, b, to, flags))
}
int link(const char *from, const char *to) { MOVED(AT_FDCWD, to, REAL(link)(from, to)) }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    MOVED(b, to, REAL(linkat)(a, from, b, to, flags))
}
