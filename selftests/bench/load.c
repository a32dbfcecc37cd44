// SPDX-License-Identifier: GPL-2.0-only
// Traffic with as little work in user space as possible, so that what is measured is the kernel's and the driver's.
//
//   load send ADDRESS PORT SIZE COUNT     COUNT datagrams of SIZE bytes, 32 a system call
//   load take PORT SECONDS                receive datagrams until none came for SECONDS; prints how many
//   load stream ADDRESS PORT BYTES        a TCP connection that sends BYTES
//   load drain PORT                       accept one connection and read it to its end; prints the bytes
//   load echo PORT COUNT                  answer COUNT datagrams
//   load ask ADDRESS PORT SIZE COUNT      COUNT datagrams, each answered before the next is sent
//   load spin FILE                        count in the first 8 bytes of FILE with what CPU time is left over
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { BATCH = 32, BUFFER = 262144 };

static char buffer[BUFFER];

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (host && inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die("address");
	return to;
}

static int open_socket(int kind, const char *port)
{
	struct sockaddr_in own = address(NULL, port ? port : "0");
	int size = 8 << 20, one = 1, fd = socket(AF_INET, kind, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (port && bind(fd, (struct sockaddr *)&own, sizeof(own)))
		die("bind");
	return fd;
}

static void send_datagrams(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	struct iovec data = { buffer, atoi(argv[2]) };
	struct mmsghdr batch[BATCH] = {};
	long count = atol(argv[3]);
	int fd = open_socket(SOCK_DGRAM, NULL);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	for (int i = 0; i < BATCH; i++) {
		batch[i].msg_hdr.msg_iov = &data;
		batch[i].msg_hdr.msg_iovlen = 1;
	}
	while (count > 0) {
		int sent = sendmmsg(fd, batch, count < BATCH ? count : BATCH, 0);

		if (sent < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
			die("sendmmsg");
		count -= sent > 0 ? sent : 0;
	}
}

static void take_datagrams(char **argv)
{
	struct timeval patience = { .tv_sec = atoi(argv[1]) };
	int fd = open_socket(SOCK_DGRAM, argv[0]);
	long count = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (recv(fd, buffer, BUFFER, 0) >= 0)
		count++;
	printf("%ld\n", count);
}

static void send_stream(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	long left = atol(argv[2]);
	int fd = open_socket(SOCK_STREAM, NULL);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	while (left > 0) {
		ssize_t sent = send(fd, buffer, left < BUFFER ? left : BUFFER, 0);

		if (sent < 0)
			die("send");
		left -= sent;
	}
	close(fd);
}

static void drain_stream(char **argv)
{
	int listener = open_socket(SOCK_STREAM, argv[0]), fd;
	long total = 0;
	ssize_t got;

	if (listen(listener, 1))
		die("listen");
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die("accept");
	while ((got = recv(fd, buffer, BUFFER, MSG_TRUNC)) > 0)
		total += got;
	printf("%ld\n", total);
}

static void echo_datagrams(char **argv)
{
	int fd = open_socket(SOCK_DGRAM, argv[0]);
	struct sockaddr_in from;

	for (long left = atol(argv[1]); left > 0; left--) {
		socklen_t length = sizeof(from);
		ssize_t got = recvfrom(fd, buffer, BUFFER, 0, (struct sockaddr *)&from, &length);

		if (got < 0 || sendto(fd, buffer, got, 0, (struct sockaddr *)&from, length) != got)
			die("echo");
	}
}

static void ask_datagrams(char **argv)
{
	struct sockaddr_in to = address(argv[0], argv[1]);
	int size = atoi(argv[2]), fd = open_socket(SOCK_DGRAM, NULL);

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	for (long left = atol(argv[3]); left > 0; left--)
		if (send(fd, buffer, size, 0) != size || recv(fd, buffer, BUFFER, 0) != size)
			die("ask");
}

// The loop is the same few instructions each time, so that the count tells how many instructions were not anybody else's.
static void spin(char **argv)
{
	struct sched_param none = {};
	int fd = open(argv[0], O_RDWR);
	volatile unsigned long *count;

	if (fd < 0 || sched_setscheduler(0, SCHED_IDLE, &none))
		die("spin");
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		die("mmap");
	for (;;)
		++*count;
}

static const struct {
	const char *name;
	int arguments;
	void (*run)(char **argv);
} modes[] = {
	{ "send", 4, send_datagrams }, { "take", 2, take_datagrams },  { "stream", 3, send_stream },
	{ "drain", 1, drain_stream },  { "echo", 2, echo_datagrams }, { "ask", 4, ask_datagrams },
	{ "spin", 1, spin },
};

int main(int argc, char **argv)
{
	for (unsigned int i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (argc >= 2 && !strcmp(argv[1], modes[i].name) && argc == 2 + modes[i].arguments) {
			modes[i].run(argv + 2);
			return 0;
		}
	}
	fprintf(stderr, "load: see the first lines of load.c\n");
	return 2;
}
