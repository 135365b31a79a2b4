/* One connection and the HTTP/1.1 message that comes in on it, as both ends of the traffic use them.
 *
 * One thread, epoll on edges, no allocation on the way: what stands between the two ends is what is measured. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_SIZE = 16384, BUFFER = 262144, BATCH = 256, STAMP = 19, MILLISECOND = 1000000 };
enum state { HEAD, LENGTH, CHUNK_SIZE, CHUNK, CHUNK_END, LAST, UNTIL_CLOSE, DONE };
typedef unsigned long long u64;

struct message {
    enum state state;
    size_t have, left, taken; /* of the head, of this part, of the body */
    long chunks;
    char head[HEAD_SIZE + 1];
};

/* What each end does with a piece of a body. */
struct connection;
static void payload(struct connection *c, const char *bytes, size_t n);
/* How a message ends whose head does not say it. */
static const enum state UNFRAMED;

static char buffer[BUFFER];
static int poller;

static u64 now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void expect_message(struct message *m) {
    m->state = HEAD;
    m->have = m->left = m->taken = m->chunks = 0;
}

static void read_head(struct message *m) {
    const char *length = strcasestr(m->head, "\r\ncontent-length:");
    if (strcasestr(m->head, "\r\ntransfer-encoding: chunked")) {
        m->state = CHUNK_SIZE;
    } else if (length) {
        m->left = strtoul(length + 17, 0, 10);
        m->state = m->left ? LENGTH : DONE;
    } else {
        m->state = UNFRAMED;
    }
}

static size_t feed_head(struct message *m, const char *bytes, size_t n) {
    size_t before = m->have, room = HEAD_SIZE - before, more = n < room ? n : room;
    memcpy(m->head + before, bytes, more);
    char *end = memmem(m->head, before + more, "\r\n\r\n", 4);
    m->have = end ? (size_t)(end - m->head) + 4 : before + more;
    m->head[m->have] = 0;
    if (end) read_head(m);
    return end ? m->have - before : n;
}

static size_t feed_payload(struct connection *c, struct message *m, const char *bytes, size_t n) {
    size_t part = m->state == UNTIL_CLOSE || n < m->left ? n : m->left;
    payload(c, bytes, part);
    m->taken += part;
    if (m->state != UNTIL_CLOSE && !(m->left -= part)) m->state = m->state == LENGTH ? DONE : CHUNK_END;
    return part;
}

static int hex(char digit) { return digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10; }

/* One byte between two chunks. */
static void feed_framing(struct message *m, char byte) {
    if (byte == '\r') return;
    if (m->state == CHUNK_SIZE && byte != '\n') {
        m->left = m->left * 16 + hex(byte);
    } else if (m->state == CHUNK_SIZE) {
        m->state = m->left ? CHUNK : LAST;
        m->chunks += m->left > 0;
    } else {
        m->state = m->state == CHUNK_END ? CHUNK_SIZE : DONE;
    }
}

/* Bytes that came. What comes after the end of the message is left out: nobody asked for it. */
static void feed(struct connection *c, struct message *m, const char *bytes, size_t n) {
    while (n && m->state != DONE) {
        size_t eaten = 1;
        if (m->state == HEAD) eaten = feed_head(m, bytes, n);
        else if (m->state == LENGTH || m->state == CHUNK || m->state == UNTIL_CLOSE) eaten = feed_payload(c, m, bytes, n);
        else feed_framing(m, *bytes);
        bytes += eaten, n -= eaten;
    }
}

static void watch(int fd, struct connection *c) {
    int on = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

/* What is to be sent. */
struct output {
    const char *at;
    size_t left;
};

/* Whether all of it has been sent. */
static int flush(int fd, struct output *out, int flags) {
    while (out->left) {
        ssize_t sent = send(fd, out->at, out->left, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
        if (sent < 0) return 0;
        out->at += sent, out->left -= sent;
    }
    return 1;
}

/* Waits for what happens next, until `due` at the latest; 0 for as long as it takes. */
static int happened(struct epoll_event *events, u64 due) {
    u64 time = now(), wait = due > time ? due - time : 0;
    struct timespec timeout = {wait / 1000000000, wait % 1000000000};
    int count = epoll_pwait2(poller, events, BATCH, due ? &timeout : 0, 0);
    if (count < 0 && errno != EINTR) die("epoll_pwait2");
    return count < 0 ? 0 : count;
}

static struct sockaddr_in local(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
