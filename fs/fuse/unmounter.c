#define FUSE_USE_VERSION 314
#include "unmounter.h"

#include "backing.h"
#include "mountpoint.h"

#include "ckfs/cleanup.h"
#include "ckfs/inherited.h"
#include "ckfs/keyring.h"
#include "ckfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

/* What ps shows. */
#define NAME "ckfs-unmount"

/* The arguments lie one behind the other; /proc shows that very memory. Who looks for the daemon by them finds one process. */
static void rename_process(char **arguments)
{
	char **last = arguments;
	while (*last && last[1])
		last++;
	if (*last) {
		const size_t room = (size_t)(*last + strlen(*last) - *arguments);
		memset(*arguments, '\0', room);
		memcpy(*arguments, NAME, room < sizeof NAME - 1 ? room : sizeof NAME - 1);
	}
	prctl(PR_SET_NAME, NAME);
}

/*
 * Nobody who waits for the daemon's descriptors to be closed shall wait for this process: the kernel for its connection, a shell for a pipe.
 * What libfuse closes as the connection leads nowhere. Returns the socket.
 */
static int let_go_of_descriptors(int socket, int connection)
{
	int nowhere = inherited_nowhere();
	int kept = connection == STDERR_FILENO + 1 ? connection + 1 : STDERR_FILENO + 1;
	for (int fd = 0; nowhere >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(nowhere, fd);
	dup2(socket, kept);
	closefrom(kept + 1);
	dup2(STDIN_FILENO, connection);
	return kept;
}

static void obey(int socket, const struct order *order)
{
	int r = backing_obey(order);
	if (order->content >= 0)
		close(order->content);
	if (order->connection >= 0)
		close(order->connection);
	/* Last: who waits for the connection to be closed shall not wait for this process. */
	order_answer(socket, order, r);
}

/* Until the daemon tells to unmount, or is no more. */
static bool is_told(int socket)
{
	struct order order;
	while (order_take(socket, &order) == 0) {
		if (order.kind == ORDER_UNMOUNT)
			return true;
		obey(socket, &order);
	}
	return false;
}

/* Signals are for the daemon: those of a terminal, or of systemd, come to both. */
static void run(int socket, struct fuse_session *session, char **arguments, struct keyring *keyring)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	rename_process(arguments);
	setsid();
	keyring_free(keyring);
	if (is_told(let_go_of_descriptors(socket, fuse_session_fd(session))))
		fuse_session_unmount(session);
}

int unmounter_start(struct unmounter *unmounter, struct fuse_session *session, char **arguments, struct keyring *keyring)
{
	int sockets[2];
	int r = order_sockets(sockets);
	if (r < 0)
		return r;
	pid_t child = fork();
	if (child == 0) {
		run(sockets[1], session, arguments, keyring);
		_exit(0);
	}
	r = child < 0 ? -errno : 0;
	close(sockets[1]);
	if (child < 0) {
		close(sockets[0]);
		return r;
	}
	unmounter->socket = sockets[0];
	unmounter->pid = child;
	return 0;
}

/* As libfuse finds out whether there is something to unmount. */
static bool is_connected(int connection)
{
	struct pollfd p = {.fd = connection};
	return poll(&p, 1, 0) == 0 || !(p.revents & POLLERR);
}

/* Another one may have been mounted at the same place since: a lazy unmount leaves that to whoever serves. */
static bool is_ours(const struct unmounter *unmounter)
{
	struct mounted now;
	return unmounter->device == 0 || (mountpoint_find(unmounter->mountpoint, &now) && now.device == unmounter->device);
}

int unmounter_prepare(struct unmounter *unmounter, const char *mountpoint)
{
	struct mounted now = {.device = 0};
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	close(ends[0]);
	(void)mountpoint_find(mountpoint, &now);
	*unmounter = (struct unmounter){.mountpoint = mountpoint, .device = now.device, .nowhere = ends[1], .socket = -1};
	return 0;
}

void unmounter_end(struct unmounter *unmounter, struct fuse_session *session)
{
	const int connection = fuse_session_fd(session);
	bool due = is_connected(connection), told = false;
	if (due && !is_ours(unmounter))
		due = false;
	else if (due && unmounter->socket >= 0)
		told = true;
	/*
	 * Closes the connection, since a mount is not left while the daemon has it open. What takes its place looks to libfuse as if the mount
	 * were gone.
	 */
	if (unmounter->nowhere >= 0 && (told || !due))
		dup2(unmounter->nowhere, connection);
	if (told)
		(void)order_give(unmounter->socket, &(struct order){.kind = ORDER_UNMOUNT, .connection = -1, .content = -1});
	if (unmounter->socket >= 0) {
		close(unmounter->socket);
		/* Not every container has somebody who does it. */
		waitpid(unmounter->pid, NULL, 0);
	}
	if (told && unmounter->device != 0 && is_ours(unmounter))
		log_line(LOG_WARNING, "%.300s: could not be unmounted; run fusermount3 -u -z %.300s", unmounter->mountpoint,
			unmounter->mountpoint);
	unmounter->socket = -1;
	fuse_session_unmount(session);
	if (unmounter->nowhere >= 0)
		close(unmounter->nowhere);
	unmounter->nowhere = -1;
}
