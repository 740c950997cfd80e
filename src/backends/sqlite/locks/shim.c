// File locks that hold beside another SQLite library in the same process. docs/design.md has the
// scheme in steps; mod.rs gives these functions to our SQLite in place of open, close and fcntl.
//
// POSIX locks belong to the process: two SQLite libraries in it do not see each other's, and the
// close of any descriptor of a file drops them all. So ours are taken through open file descriptions,
// all of one file through the same one, and no descriptor of a file is closed while others could
// have a lock on it.
//
// Nothing of SQLite is called in here, and the mutex is taken last of all.

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// glibc has had them since 2.20, macOS' headers since 14; the kernels for longer.
#ifndef F_OFD_SETLK
#ifdef __linux__
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#else
#define F_OFD_SETLK 90
#define F_OFD_SETLKW 91
#define F_OFD_GETLK 92
#endif
#endif

// The close of all descriptors behind a lock on the whole file rests on what Linux does within
// close(2): POSIX locks go before the description's. Nobody has seen it on other systems: there
// descriptors stay open for ever, to be used again.
#ifdef __linux__
#define CLOSES_BEHIND_LOCK 1
#else
#define CLOSES_BEHIND_LOCK 0
#endif

// For mod.rs, and for nobody outside the addon.
#define EXPORTED __attribute__((visibility("hidden")))

struct descriptor {
    struct descriptor *next; // of the same file
    struct file *file;
    int fd;
    int access; // O_RDONLY, O_RDWR, or NEVER_AGAIN
    int in_use; // by SQLite; otherwise it is kept from being closed
};

#define NEVER_AGAIN (-1)

struct file {
    struct file *next;
    dev_t device;
    ino_t inode;
    int defended;    // never changes: locks are of one kind as long as the file is known
    int lock_fd;     // a description of its own: a child process gives it up without touching SQLite's
    int lock_writes; // a description that cannot write cannot take exclusive locks
    int users;       // descriptors in use
    int met_others;  // an undefended file that somebody else in the process has had open
    struct descriptor *descriptors;
};

static int (*real_open)(const char *, int, int);
static int (*real_close)(int);
static int (*real_fcntl)(int, int, ...);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;
static int in_transit; // descriptors of ours that are being opened, and not known yet
static int kernel_lacks_them;

// Descriptor to what is known about it, in chunks that are made when they are wanted and never
// freed: any number that the system can give has its place, and a lock call takes no mutex.
#define CHUNK_BITS 16
typedef _Atomic(struct descriptor *) slot;
static _Atomic(slot *) chunks[1 << (31 - CHUNK_BITS)];

// What a child process has of its parent's descriptors: no lock call succeeds on it.
static struct descriptor inherited;

static slot *slot_of(int fd, int make) {
    if (fd < 0) return NULL;
    _Atomic(slot *) *place = &chunks[fd >> CHUNK_BITS];
    slot *chunk = atomic_load_explicit(place, memory_order_acquire);
    if (chunk == NULL && make) {
        chunk = calloc((size_t)1 << CHUNK_BITS, sizeof(slot));
        atomic_store_explicit(place, chunk, memory_order_release);
    }
    return chunk == NULL ? NULL : &chunk[fd & ((1 << CHUNK_BITS) - 1)];
}

static struct descriptor *known(int fd) {
    slot *at = slot_of(fd, 0);
    return at == NULL ? NULL : atomic_load_explicit(at, memory_order_acquire);
}

static void note(int fd, struct descriptor *descriptor) {
    slot *at = slot_of(fd, 1);
    if (at != NULL) atomic_store_explicit(at, descriptor, memory_order_release);
}

static int lock_call(int fd, int command, short type, struct flock *lock) {
    memset(lock, 0, sizeof *lock);
    lock->l_type = type;
    lock->l_whence = SEEK_SET; // from 0, length 0: the whole file
    return real_fcntl(fd, command, lock);
}

static struct file *find(const struct stat *found) {
    struct file *file = files;
    while (file != NULL && (file->device != found->st_dev || file->inode != found->st_ino)) file = file->next;
    return file;
}

static struct descriptor *add(struct file *file, int fd, int access, int in_use) {
    struct descriptor *descriptor = calloc(1, sizeof *descriptor);
    if (descriptor == NULL || slot_of(fd, 1) == NULL) {
        free(descriptor);
        return NULL;
    }
    *descriptor = (struct descriptor){file->descriptors, file, fd, access, in_use};
    file->descriptors = descriptor;
    file->users += in_use;
    note(fd, descriptor);
    return descriptor;
}

// ---- What must be watched, because nothing can defend it

// elsewhere.c
EXPORTED int sagastore_is_elsewhere(const char *path);

static int (*judge)(const char *) = sagastore_is_elsewhere;

// For tests: another answer to the same question.
EXPORTED void sagastore_locks_judge_by(int (*other)(const char *)) { judge = other; }

// A description of its own; dup would share the one that there is.
static int open_for_locks(int fd, const char *path, int access, const struct stat *expected) {
    int opened = -1;
#ifdef __linux__
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    opened = open(name, access | O_CLOEXEC);
#else
    (void)fd;
#endif
    if (opened < 0) {
        struct stat found;
        opened = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (opened < 0) return -1;
        // Somebody has put another file there just now. It stays open for ever: closing it could
        // drop somebody's locks.
        if (fstat(opened, &found) != 0 || found.st_dev != expected->st_dev || found.st_ino != expected->st_ino) return -1;
    }
    if (opened > STDERR_FILENO) return opened;
    // The low one stays as well, for the same reason.
    return real_fcntl(opened, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static struct file *new_file(int fd, const char *path, const struct stat *found) {
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL) return NULL;
    file->device = found->st_dev;
    file->inode = found->st_ino;
    file->lock_fd = -1;
    if (!kernel_lacks_them && !judge(path)) {
        file->lock_fd = open_for_locks(fd, path, O_RDWR, found);
        file->lock_writes = file->lock_fd >= 0;
        if (file->lock_fd < 0) file->lock_fd = open_for_locks(fd, path, O_RDONLY, found);
    }
    struct flock lock;
    file->defended = file->lock_fd >= 0 && lock_call(file->lock_fd, F_OFD_GETLK, F_RDLCK, &lock) == 0;
    file->next = files;
    files = file;
    return file;
}

// ---- Closing

// A handle on a database that is not in WAL mode has no lock while it is idle, so that a lock of
// ours on all of it would make it wait for no reason.
static int is_in_rollback_mode(int fd) {
    static const char magic[] = "SQLite format 3";
    char head[20];
    if (pread(fd, head, sizeof head, 0) != (ssize_t)sizeof head) return 0;
    return memcmp(head, magic, sizeof magic) == 0 && head[18] != 2;
}

static int close_one(struct descriptor *descriptor) {
    struct descriptor **at = &descriptor->file->descriptors;
    while (*at != descriptor) at = &(*at)->next;
    *at = descriptor->next;
    int fd = descriptor->fd;
    note(fd, NULL);
    free(descriptor);
    return real_close(fd);
}

// Nobody of ours uses the file. Mutex held.
static void close_file(struct file *file) {
    struct stat found;
    struct flock lock;
    int is_gone = file->defended && fstat(file->lock_fd, &found) == 0 && found.st_nlink == 0;
    int may_close = !file->defended;
    if (file->lock_writes && (is_gone || (CLOSES_BEHIND_LOCK && !is_in_rollback_mode(file->lock_fd)))) {
        // With this lock nobody else has one or gets one, so nothing can be dropped.
        may_close = lock_call(file->lock_fd, F_OFD_SETLK, F_WRLCK, &lock) == 0;
    } else if (is_gone) {
        may_close = lock_call(file->lock_fd, F_OFD_GETLK, F_WRLCK, &lock) == 0 && lock.l_type == F_UNLCK;
    }
    if (!may_close) {
        // SQLite leaves some locks (that of the shared memory's users) to close().
        lock_call(file->lock_fd, F_OFD_SETLK, F_UNLCK, &lock);
        return;
    }
    while (file->descriptors != NULL) close_one(file->descriptors);
    if (file->lock_fd >= 0) real_close(file->lock_fd); // the last: the lock ends with it
    struct file **at = &files;
    while (*at != file) at = &(*at)->next;
    *at = file->next;
    free(file);
}

// Mutex held.
static void close_what_can_be_closed(void) {
    for (struct file *file = files, *next; file != NULL; file = next) {
        next = file->next;
        if (file->users == 0) close_file(file);
    }
}

EXPORTED int sagastore_locks_close(int fd) {
    struct descriptor *descriptor = known(fd);
    if (descriptor == NULL) return real_close(fd);
    if (descriptor == &inherited) {
        note(fd, NULL);
        return real_close(fd);
    }
    pthread_mutex_lock(&mutex);
    struct file *file = descriptor->file;
    descriptor->in_use = 0;
    file->users--;
    int result = file->defended ? 0 : close_one(descriptor);
    if (file->users == 0) close_what_can_be_closed();
    pthread_mutex_unlock(&mutex);
    return result;
}

// ---- Opening

static int ends_with(const char *path, const char *suffix) {
    size_t length = strlen(path), wanted = strlen(suffix);
    return length > wanted && strcmp(path + length - wanted, suffix) == 0;
}

// Whether it is the journal or the WAL of a database, which are not locked. A database may be
// called like that too; then no other stands beside it without the suffix.
static int is_journal(const char *path) {
    if (!ends_with(path, "-wal") && !ends_with(path, "-journal")) return 0;
    char *database = strdup(path);
    if (database == NULL) return 1;
    *strrchr(database, '-') = 0;
    int exists = access(database, F_OK) == 0;
    free(database);
    return exists;
}

// Standard input and output that somebody has closed: SQLite refuses to have a database there,
// closes it and opens /dev/null, and with that close locks would go.
static void fill_standard_descriptors(void) {
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        // Takes the lowest free number, which is this one.
        if (real_fcntl(fd, F_GETFD, 0) < 0) (void)real_open("/dev/null", O_RDWR, 0);
    }
}

// Whether the file's lock descriptor cannot do what a new user would want of it. Only where a file
// that could not be written when we opened it has become writable: with its next opening.
static int is_barred(const struct file *file, int access) {
    return file->defended && access != O_RDONLY && !file->lock_writes && file->users > 0;
}

// Makes the descriptor known. Mutex held. What is to be given to SQLite, or -1; no descriptor of a
// file that may hold somebody's locks is closed on the way.
static int admit(int fd, const char *path, int access) {
    struct stat found;
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) return fd;
    struct file *file = find(&found);
    if (file == NULL) file = new_file(fd, path, &found);
    if (file == NULL) {
        errno = ENOMEM;
        return -1;
    }
    if (file->defended && access != O_RDONLY && !file->lock_writes && file->users == 0) {
        int lock_fd = open_for_locks(fd, path, O_RDWR, &found);
        if (lock_fd >= 0 && add(file, file->lock_fd, NEVER_AGAIN, 0) != NULL) {
            file->lock_fd = lock_fd;
            file->lock_writes = 1;
        }
    }
    int given = fd;
    if (fd <= STDERR_FILENO) {
        given = real_fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        add(file, fd, NEVER_AGAIN, 0);
    }
    int refused = file->defended && access != O_RDONLY && !file->lock_writes;
    if (given < 0 || add(file, given, access, !refused) == NULL || refused) {
        errno = refused ? EACCES : ENOMEM;
        return -1;
    }
    return given;
}

EXPORTED int sagastore_locks_open(const char *path, int flags, int mode) {
    int access = flags & O_ACCMODE;
    // O_EXCL: temporary files and journals of several databases. O_DIRECTORY is in O_TMPFILE, too.
    if ((flags & (O_EXCL | O_DIRECTORY)) != 0 || is_journal(path)) return real_open(path, flags, mode);

    pthread_mutex_lock(&mutex);
    struct stat found;
    struct file *file = lstat(path, &found) == 0 ? find(&found) : NULL;
    if (file != NULL && is_barred(file, access)) {
        pthread_mutex_unlock(&mutex);
        errno = EACCES;
        return -1;
    }
    int rights = access == O_RDONLY ? R_OK : R_OK | W_OK;
    for (struct descriptor *kept = file == NULL ? NULL : file->descriptors; kept != NULL; kept = kept->next) {
        if (kept->in_use || kept->access != access || faccessat(AT_FDCWD, path, rights, AT_EACCESS) != 0) continue;
        kept->in_use = 1;
        file->users++;
        pthread_mutex_unlock(&mutex);
        return kept->fd;
    }
    close_what_can_be_closed();
    in_transit++;
    // Not held while the file is opened: that can take as long as a network file system likes.
    pthread_mutex_unlock(&mutex);
    fill_standard_descriptors();
    int fd = real_open(path, flags, mode);
    int error = errno;
    pthread_mutex_lock(&mutex);
    in_transit--;
    if (fd >= 0) {
        fd = admit(fd, path, access);
        error = errno;
    }
    pthread_mutex_unlock(&mutex);
    errno = error;
    return fd;
}

// ---- Locks

// Variadic, as SQLite calls it: on some systems (Apple's arm64) that makes a difference.
EXPORTED int sagastore_locks_fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    // An int is handed on in the same way, as the C library does itself.
    void *argument = va_arg(arguments, void *);
    va_end(arguments);

    int of_description;
    switch (command) {
    case F_SETLK: of_description = F_OFD_SETLK; break;
    case F_SETLKW: of_description = F_OFD_SETLKW; break;
    case F_GETLK: of_description = F_OFD_GETLK; break;
    default: return real_fcntl(fd, command, argument);
    }
    struct descriptor *descriptor = known(fd);
    if (descriptor == &inherited) {
        errno = EBADF;
        return -1;
    }
    if (descriptor == NULL || !descriptor->file->defended) return real_fcntl(fd, command, argument);
    ((struct flock *)argument)->l_pid = 0;
    return real_fcntl(descriptor->file->lock_fd, of_description, argument);
}

// ---- Others in the process

// Whether a descriptor of the file is open that is not ours. Mutex held.
static int is_others(int fd, const struct stat *wanted) {
    struct stat found;
    struct descriptor *descriptor = known(fd);
    if (fstat(fd, &found) != 0 || found.st_dev != wanted->st_dev || found.st_ino != wanted->st_ino) return 0;
    if (descriptor != NULL && descriptor != &inherited && descriptor->file->inode == found.st_ino) return 0;
#ifdef O_PATH
    // Its close drops nothing.
    if ((real_fcntl(fd, F_GETFL, 0) & O_PATH) != 0) return 0;
#endif
    return 1;
}

static int others_have(const struct stat *wanted, int own_lock_fd) {
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) directory = opendir("/dev/fd");
    int found = 0;
    if (directory != NULL) {
        for (struct dirent *entry; !found && (entry = readdir(directory)) != NULL;) {
            if (entry->d_name[0] == '.') continue;
            int fd = atoi(entry->d_name);
            found = fd != own_lock_fd && is_others(fd, wanted);
        }
        closedir(directory);
        return found;
    }
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
    for (int fd = 0; !found && fd < end; fd++) found = fd != own_lock_fd && is_others(fd, wanted);
    return found;
}

// 0: the file is defended, or there is none. 1: it is not, and nobody else in the process has it
// open. 2: somebody has, or has had since we opened it: its locks may have been dropped.
EXPORTED int sagastore_locks_look(const char *path) {
    struct stat found;
    if (stat(path, &found) != 0) return 0;
    pthread_mutex_lock(&mutex);
    struct file *file = find(&found);
    int answer = 0;
    if (file == NULL ? kernel_lacks_them || judge(path) : !file->defended) {
        int others = file != NULL && file->met_others;
        if (!others) others = others_have(&found, file == NULL ? -1 : file->lock_fd) && in_transit == 0;
        if (file != NULL) file->met_others = others;
        answer = others ? 2 : 1;
    }
    pthread_mutex_unlock(&mutex);
    return answer;
}

// ---- Beginning

static void before_fork(void) { pthread_mutex_lock(&mutex); }

static void in_parent(void) { pthread_mutex_unlock(&mutex); }

// The child must not keep descriptions alive that hold its parent's locks. It frees no memory: it
// may do only what a signal handler may.
static void in_child(void) {
    for (struct file *file = files; file != NULL; file = file->next) {
        for (struct descriptor *descriptor = file->descriptors; descriptor != NULL; descriptor = descriptor->next) {
            note(descriptor->fd, descriptor->in_use ? &inherited : NULL);
            if (!descriptor->in_use) close(descriptor->fd);
        }
        if (file->lock_fd >= 0) close(file->lock_fd);
    }
    files = NULL;
    in_transit = 0;
    pthread_mutex_init(&mutex, NULL);
}

// Node.js may unload an addon when a worker ends; with it the table would go, and with that the
// knowledge of which descriptors must not be closed.
static void stay_loaded(void) {
    Dl_info found;
    if (dladdr((void *)&files, &found) != 0 && found.dli_fname != NULL) {
        (void)dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

// Takes what our SQLite has used so far. Once, before it opens a file. 0: done.
EXPORTED int sagastore_locks_start(void (*open_call)(void), void (*close_call)(void), void (*fcntl_call)(void)) {
    real_open = (int (*)(const char *, int, int))open_call;
    real_close = (int (*)(int))close_call;
    real_fcntl = (int (*)(int, int, ...))fcntl_call;
    if (real_open == NULL || real_close == NULL || real_fcntl == NULL) return -1;

    struct flock lock;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    kernel_lacks_them = fd >= 0 && lock_call(fd, F_OFD_GETLK, F_RDLCK, &lock) != 0;
    if (fd >= 0) close(fd);
    stay_loaded();
    return pthread_atfork(before_fork, in_parent, in_child);
}
