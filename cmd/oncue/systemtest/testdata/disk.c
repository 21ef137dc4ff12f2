/*
 * A disk with faults, between SQLite and the C library (LD_PRELOAD). Only files of the database are concerned.
 *
 *   DISK_SLOW_MS=N   every sync takes so much longer
 *   DISK_KILL_AT=N   the process is killed as it begins its Nth write, sync or truncation
 *   DISK_BROKEN=FILE while FILE exists, writes and syncs fail with EIO
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_long operations;

static int ours(int fd)
{
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	return strstr(path, "/oncue.db") != NULL;
}

/* meets says whether the operation is to fail. */
static int meets(int fd, int sync)
{
	const char *at = getenv("DISK_KILL_AT"), *slow = getenv("DISK_SLOW_MS"), *broken = getenv("DISK_BROKEN");
	if (!ours(fd))
		return 0;
	if (at && atomic_fetch_add(&operations, 1) + 1 == atol(at)) {
		kill(getpid(), SIGKILL);
		pause();
	}
	if (slow && sync) {
		long ms = atol(slow);
		struct timespec t = {ms / 1000, ms % 1000 * 1000000};
		nanosleep(&t, NULL);
	}
	if (broken && access(broken, F_OK) == 0) {
		errno = EIO;
		return 1;
	}
	return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) { return meets(fd, 0) ? -1 : REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return meets(fd, 0) ? -1 : REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return meets(fd, 0) ? -1 : REAL(pwrite64)(fd, data, size, at); }
int ftruncate(int fd, off_t size) { return meets(fd, 0) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return meets(fd, 0) ? -1 : REAL(ftruncate64)(fd, size); }
int fsync(int fd) { return meets(fd, 1) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return meets(fd, 1) ? -1 : REAL(fdatasync)(fd); }
