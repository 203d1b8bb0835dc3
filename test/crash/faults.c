/*
 * Runs a program and asks at each call that changes files below given directories what is to become
 * of it: nothing, an error, a shorter write, or the end of the program.
 *
 *     faults FD DIRECTORY... -- COMMAND [ARGUMENT...]
 *
 * Not a library in the program's way but a tracer (ptrace): a filter in the kernel (seccomp) stops
 * every call of the list below, whoever makes it: libc, a system call made by hand, another thread, a
 * child that compresses. So none can escape, and io_uring is refused. Writes through shared memory
 * are no calls; in lbs only SQLite's index of its log is written so, which nothing relies on after
 * a crash. One call at a time is let through, from its start to its end, so they have one order.
 *
 * On FD it writes a line for each call before it is made,
 *     before NUMBER PROCESS CALL DESCRIPTOR ARGUMENT PATH PATH2
 * (paths with %-escapes, `-` for none) and reads a line:
 *     go            let it happen
 *     watch         the same, then a line `after NUMBER RESULT`, which is to be answered as well
 *     fail ERRNO    do not make the call, it returns that error
 *     late ERRNO    make the call, it returns that error all the same (close(2) does that)
 *     short BYTES   write only so much
 *     kill          SIGKILL for the program, its threads and its children
 * Exits as the program does: its code, or 128 and its signal.
 */
#define _GNU_SOURCE
#include <dirent.h>
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
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "registers are those of x86_64"
#endif

#define PATH_BYTES 8192
#define LINE_BYTES (6 * PATH_BYTES + 256)
#define TRACED_MAX 4096

/* Which arguments say what a call is about. NONE where there is no such thing. */
enum { NONE = -1 };
struct call {
	int number;
	const char *name;
	int fd;       /* descriptor of a file, or of the directory that `path` is relative to */
	int path;     /* address of a path */
	int fd2;      /* the same of a second one */
	int path2;
	int argument; /* flags, or bytes to write: shown, and what `short` makes less */
};

#define CALL(name, fd, path, fd2, path2, argument) \
	{ SYS_##name, #name, fd, path, fd2, path2, argument }

static const struct call calls[] = {
	CALL(open, NONE, 0, NONE, NONE, 1),
	CALL(creat, NONE, 0, NONE, NONE, NONE),
	CALL(openat, 0, 1, NONE, NONE, 2),
	CALL(openat2, 0, 1, NONE, NONE, NONE),
	CALL(write, 0, NONE, NONE, NONE, 2),
	CALL(pwrite64, 0, NONE, NONE, NONE, 2),
	CALL(writev, 0, NONE, NONE, NONE, NONE),
	CALL(pwritev, 0, NONE, NONE, NONE, NONE),
	CALL(pwritev2, 0, NONE, NONE, NONE, NONE),
	CALL(sendfile, 0, NONE, NONE, NONE, 3),
	CALL(copy_file_range, 2, NONE, NONE, NONE, 4),
	CALL(splice, 2, NONE, NONE, NONE, 4),
	CALL(fsync, 0, NONE, NONE, NONE, NONE),
	CALL(fdatasync, 0, NONE, NONE, NONE, NONE),
	CALL(sync_file_range, 0, NONE, NONE, NONE, NONE),
	CALL(syncfs, 0, NONE, NONE, NONE, NONE),
	CALL(truncate, NONE, 0, NONE, NONE, 1),
	CALL(ftruncate, 0, NONE, NONE, NONE, 1),
	CALL(fallocate, 0, NONE, NONE, NONE, 3),
	CALL(rename, NONE, 0, NONE, 1, NONE),
	CALL(renameat, 0, 1, 2, 3, NONE),
	CALL(renameat2, 0, 1, 2, 3, NONE),
	CALL(link, NONE, 0, NONE, 1, NONE),
	CALL(linkat, 0, 1, 2, 3, NONE),
	CALL(symlink, NONE, 1, NONE, NONE, NONE),
	CALL(symlinkat, 1, 2, NONE, NONE, NONE),
	CALL(unlink, NONE, 0, NONE, NONE, NONE),
	CALL(unlinkat, 0, 1, NONE, NONE, NONE),
	CALL(rmdir, NONE, 0, NONE, NONE, NONE),
	CALL(mkdir, NONE, 0, NONE, NONE, NONE),
	CALL(mkdirat, 0, 1, NONE, NONE, NONE),
	CALL(mknod, NONE, 0, NONE, NONE, NONE),
	CALL(mknodat, 0, 1, NONE, NONE, NONE),
	CALL(chmod, NONE, 0, NONE, NONE, NONE),
	CALL(fchmod, 0, NONE, NONE, NONE, NONE),
	CALL(fchmodat, 0, 1, NONE, NONE, NONE),
	CALL(chown, NONE, 0, NONE, NONE, NONE),
	CALL(lchown, NONE, 0, NONE, NONE, NONE),
	CALL(fchown, 0, NONE, NONE, NONE, NONE),
	CALL(fchownat, 0, 1, NONE, NONE, NONE),
	CALL(utime, NONE, 0, NONE, NONE, NONE),
	CALL(utimes, NONE, 0, NONE, NONE, NONE),
	CALL(futimesat, 0, 1, NONE, NONE, NONE),
	CALL(utimensat, 0, 1, NONE, NONE, NONE),
	CALL(setxattr, NONE, 0, NONE, NONE, NONE),
	CALL(lsetxattr, NONE, 0, NONE, NONE, NONE),
	CALL(fsetxattr, 0, NONE, NONE, NONE, NONE),
	CALL(removexattr, NONE, 0, NONE, NONE, NONE),
	CALL(lremovexattr, NONE, 0, NONE, NONE, NONE),
	CALL(fremovexattr, 0, NONE, NONE, NONE, NONE),
	CALL(close, 0, NONE, NONE, NONE, NONE),
	/* Only those that make one file share the blocks of another (see `install_filter`). */
	CALL(ioctl, 0, NONE, NONE, NONE, NONE),
#ifdef SYS_fchmodat2
	CALL(fchmodat2, 0, 1, NONE, NONE, NONE),
#endif
};
#define CALLS ((int)(sizeof calls / sizeof calls[0]))
#define FICLONE_NUMBER 0x40049409
#define FICLONERANGE_NUMBER 0x4020940d

static const char **directories;
static FILE *asked, *answers;
static pid_t traced[TRACED_MAX];
static int traced_count, is_killing;
static unsigned long number;

static void fail(const char *what)
{
	fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
	exit(125); /* PTRACE_O_EXITKILL ends whoever is traced. */
}

/* Stops what is in the list; the rest of the system's calls run at full speed. */
static void install_filter(void)
{
	struct sock_filter code[16 + 6 * CALLS];
	int n = 0;

#define ADD(...) code[n++] = (struct sock_filter)__VA_ARGS__
#define LOAD(field) ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field))
	LOAD(offsetof(struct seccomp_data, arch));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	LOAD(offsetof(struct seccomp_data, nr));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
	for (int i = 0; i < CALLS; i++) {
		int number = calls[i].number;
		if (number == SYS_open || number == SYS_openat) {
			/* Opening for reading changes nothing. */
			ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
			LOAD(offsetof(struct seccomp_data, args) + 8 * calls[i].argument);
			ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 0, 1));
			ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
			ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
		} else if (number == SYS_ioctl) {
			ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 5));
			LOAD(offsetof(struct seccomp_data, args) + 8);
			ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FICLONE_NUMBER, 1, 0));
			ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FICLONERANGE_NUMBER, 0, 1));
			ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
			ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
		} else {
			ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
			ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
		}
	}
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));

	struct sock_fprog program = { .len = n, .filter = code };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) fail("seccomp");
}

/* `path` gets what the link says, or an empty text. */
static void read_link(const char *link, char *path)
{
	ssize_t length = readlink(link, path, PATH_BYTES - 1);
	path[length < 0 ? 0 : length] = 0;
}

static void path_of_fd(pid_t tid, int fd, char *path)
{
	char link[64];

	if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", tid);
	else snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, fd);
	read_link(link, path);
}

static void read_text(pid_t tid, unsigned long address, char *text)
{
	size_t at = 0;

	/* Not across a page in one go: the next one may not be there. */
	while (at < PATH_BYTES - 1) {
		size_t room = 4096 - (address + at) % 4096;
		if (room > PATH_BYTES - 1 - at) room = PATH_BYTES - 1 - at;
		struct iovec here = { text + at, room };
		struct iovec there = { (void *)(address + at), room };
		ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);
		if (got <= 0) break;
		if (memchr(text + at, 0, got) != NULL) return;
		at += got;
	}
	text[at] = 0;
}

/* Where a path argument leads, as far as open directories go: enough to know whose it is. */
static void path_of_argument(pid_t tid, int dir, unsigned long address, char *path)
{
	char name[PATH_BYTES], *rest;

	read_text(tid, address, name);
	if (strncmp(name, "/proc/self/fd/", 14) == 0) {
		path_of_fd(tid, (int)strtol(name + 14, &rest, 10), path);
	} else if (name[0] == '/') {
		snprintf(path, PATH_BYTES, "%s", name);
		return;
	} else {
		path_of_fd(tid, dir, path);
		rest = name;
	}
	size_t length = strlen(path);
	if (*rest == '/') rest++;
	if (*rest != 0) snprintf(path + length, PATH_BYTES - length, "/%s", rest);
}

static int is_below(const char *path)
{
	for (const char **directory = directories; *directory != NULL; directory++) {
		size_t length = strlen(*directory);
		if (strncmp(path, *directory, length) == 0 && (path[length] == 0 || path[length] == '/')) return 1;
	}
	return 0;
}

/* What is opened for reading only need not be written by closing it. */
static int is_open_to_write(pid_t tid, int fd)
{
	char name[64];
	unsigned flags = 0;

	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", tid, fd);
	FILE *info = fopen(name, "re");
	if (info == NULL) return 0;
	if (fscanf(info, "pos: %*d flags: %o", &flags) != 1) flags = 0;
	fclose(info);
	return (flags & O_ACCMODE) != O_RDONLY && (flags & O_PATH) == 0;
}

static void put_path(const char *path)
{
	fputc(' ', asked);
	if (*path == 0) fputc('-', asked);
	for (; *path != 0; path++) {
		unsigned char byte = (unsigned char)*path;
		if (byte <= ' ' || byte == '%' || byte >= 127) fprintf(asked, "%%%02x", byte);
		else fputc(byte, asked);
	}
}

static char answer[256];

static void await_answer(void)
{
	fflush(asked);
	/* Whoever asked for this has gone: nobody would ever end the program. */
	if (fgets(answer, sizeof answer, answers) == NULL) exit(125);
}

static void remember(pid_t tid)
{
	for (int i = 0; i < traced_count; i++)
		if (traced[i] == tid) return;
	if (traced_count == TRACED_MAX) { errno = ENOMEM; fail("too many threads"); }
	traced[traced_count++] = tid;
	if (is_killing) kill(tid, SIGKILL);
}

static void forget(pid_t tid)
{
	for (int i = 0; i < traced_count; i++)
		if (traced[i] == tid) traced[i] = traced[--traced_count];
}

static void kill_all(void)
{
	is_killing = 1;
	for (int i = 0; i < traced_count; i++) kill(traced[i], SIGKILL);
}

static unsigned long long *argument_of(struct user_regs_struct *regs, int at)
{
	unsigned long long *all[] = { &regs->rdi, &regs->rsi, &regs->rdx, &regs->r10, &regs->r8, &regs->r9 };
	return all[at];
}

static void resume(enum __ptrace_request how, pid_t tid, int signal)
{
	/* A thread that was killed meanwhile is no fault. */
	if (ptrace(how, tid, 0, signal) != 0 && errno != ESRCH) fail("ptrace");
}

/* Lets one call happen. 0 when the thread did not live to see its end. */
static int finish_call(pid_t tid, struct user_regs_struct *regs)
{
	int status;

	resume(PTRACE_SYSCALL, tid, 0);
	for (;;) {
		if (waitpid(tid, &status, __WALL) < 0) return 0;
		if (!WIFSTOPPED(status)) {
			forget(tid);
			return 0;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) break;
		resume(PTRACE_SYSCALL, tid, status >> 16 ? 0 : WSTOPSIG(status));
	}
	return ptrace(PTRACE_GETREGS, tid, 0, regs) == 0;
}

/* A call of the list is about to be made. */
static void on_call(pid_t tid)
{
	char path[PATH_BYTES] = "", path2[PATH_BYTES] = "";
	struct user_regs_struct regs;
	const struct call *call = calls;

	if (ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0) return;
	while (call < calls + CALLS && call->number != (int)regs.orig_rax) call++;
	if (call == calls + CALLS) { resume(PTRACE_CONT, tid, 0); return; }
#define VALUE(at) (*argument_of(&regs, call->at))
	int fd = call->fd == NONE ? AT_FDCWD : (int)VALUE(fd);
	if (call->path == NONE) path_of_fd(tid, fd, path);
	else path_of_argument(tid, fd, VALUE(path), path);
	if (call->path2 != NONE)
		path_of_argument(tid, call->fd2 == NONE ? AT_FDCWD : (int)VALUE(fd2), VALUE(path2), path2);
	int is_ours = is_below(path) || is_below(path2);
	if (is_ours && call->number == SYS_close) is_ours = is_open_to_write(tid, fd);
	if (!is_ours) { resume(PTRACE_CONT, tid, 0); return; }

	number++;
	fprintf(asked, "before %lu %d %s %d %lld", number, tid, call->name, fd,
		call->argument == NONE ? 0 : (long long)VALUE(argument));
	put_path(path);
	put_path(path2);
	fputc('\n', asked);
	await_answer();

	long value = 0;
	char *space = strchr(answer, ' ');
	if (space != NULL) value = strtol(space, NULL, 10);
	if (strncmp(answer, "kill", 4) == 0) {
		kill_all();
		return;
	}
	if (strncmp(answer, "fail", 4) == 0) {
		/* No such call, so nothing is done, and this is what it returns. */
		regs.orig_rax = -1;
		regs.rax = -value;
		ptrace(PTRACE_SETREGS, tid, 0, &regs);
		resume(PTRACE_CONT, tid, 0);
		return;
	}
	if (strncmp(answer, "short", 5) == 0) {
		*argument_of(&regs, call->argument) = value;
		ptrace(PTRACE_SETREGS, tid, 0, &regs);
	}
	if (!finish_call(tid, &regs)) return;
	if (strncmp(answer, "late", 4) == 0) {
		regs.rax = -value;
		ptrace(PTRACE_SETREGS, tid, 0, &regs);
	}
	if (strncmp(answer, "watch", 5) == 0) {
		fprintf(asked, "after %lu %lld\n", number, (long long)regs.rax);
		await_answer();
		if (strncmp(answer, "kill", 4) == 0) {
			kill_all();
			return;
		}
	}
	resume(PTRACE_CONT, tid, 0);
}

static pid_t start(char **command)
{
	int ready[2];
	char byte;
	long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
		PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;

	if (pipe2(ready, O_CLOEXEC) != 0) fail("pipe");
	pid_t pid = fork();
	if (pid < 0) fail("fork");
	if (pid == 0) {
		/* Calls that are filtered fail while nobody traces. */
		if (read(ready[0], &byte, 1) != 1) _exit(125);
		install_filter();
		execvp(command[0], command);
		fprintf(stderr, "faults: %s: %s\n", command[0], strerror(errno));
		_exit(125);
	}
	if (ptrace(PTRACE_SEIZE, pid, 0, options) != 0) fail("ptrace");
	remember(pid);
	if (write(ready[1], "x", 1) != 1) fail("pipe");
	close(ready[0]);
	close(ready[1]);
	return pid;
}

int main(int count, char **words)
{
	int first = 2, code = 125;

	while (first < count && strcmp(words[first], "--") != 0) first++;
	if (first + 1 >= count) {
		fprintf(stderr, "usage: faults FD DIRECTORY... -- COMMAND [ARGUMENT...]\n");
		return 125;
	}
	words[first] = NULL;
	directories = (const char **)words + 2;
	int fd = atoi(words[1]);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	asked = fdopen(fd, "w");
	answers = fdopen(dup(fd), "r");
	if (asked == NULL || answers == NULL) fail("descriptor for questions");
	fcntl(fileno(answers), F_SETFD, FD_CLOEXEC);

	pid_t program = start(words + first + 1);
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0) break;
		if (!WIFSTOPPED(status)) {
			forget(tid);
			if (tid == program) code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			continue;
		}
		remember(tid);
		int event = status >> 16, signal = WSTOPSIG(status);
		if (is_killing) resume(PTRACE_CONT, tid, 0);
		else if (event == PTRACE_EVENT_SECCOMP) on_call(tid);
		else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) resume(PTRACE_LISTEN, tid, 0);
		else resume(PTRACE_CONT, tid, event != 0 ? 0 : signal);
	}
	return code;
}
