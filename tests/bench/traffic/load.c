/* The load: `load FILE` sends the request in FILE as the options say, and prints what came of it as one line of JSON.
 *
 * Each connection asks again as soon as it is answered (closed loop) until time or requests are used up. `open EVENTS` is
 * printed when every connection has its first answer's head, with the events that have come so far. */
#include "message.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/mman.h>
#include <sys/stat.h>

static struct {
    int port, connections, stall;
    long requests, ramp; /* at most; microseconds from one connection to the next */
    double seconds, patience; /* to ask in; to wait for the rest */
    size_t expected;
    long events;
} options = {.connections = 1, .requests = 1 << 30, .seconds = 1e6, .patience = 10};

struct connection {
    int fd, is_open;
    struct message answer;
    struct output out;
    u64 begun, stamp;
    long events;
    int digits;
};

struct samples {
    unsigned *at;
    size_t count, room;
};

static const enum state UNFRAMED = UNTIL_CLOSE;
static struct output request;
static struct samples latencies, delays;
static struct connection *connections;
static int dialed, open_count, busy, first_bad_status;
static long asked, answered, failed, events, chunks;
static u64 start, enough, deadline;

static void sample(struct samples *s, u64 nanoseconds) {
    if (s->count == s->room) s->at = realloc(s->at, (s->room = s->room * 2 + 65536) * sizeof *s->at);
    s->at[s->count++] = nanoseconds > 4000000000u ? 4000000000u : nanoseconds;
}

static int by_value(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

static double microseconds(struct samples *s, double part) {
    if (!s->count) return 0;
    qsort(s->at, s->count, sizeof *s->at, by_value);
    return s->at[(size_t)(part * (s->count - 1))] / 1000.0;
}

/* Counts events by their '@', and how long each was on the way. */
static void payload(struct connection *c, const char *bytes, size_t n) {
    const char *end = bytes + n;
    while (bytes < end) {
        for (; c->digits && bytes < end; c->digits--) c->stamp = c->stamp * 10 + (*bytes++ - '0');
        if (!c->digits && c->stamp) sample(&delays, now() - c->stamp);
        if (!c->digits) c->stamp = 0;
        if (!options.events || !(bytes = memchr(bytes, '@', end - bytes))) return;
        bytes++, c->digits = STAMP, c->events++, events++;
    }
}

static void opened(struct connection *c) {
    if (c->is_open) return;
    c->is_open = 1;
    if (++open_count < options.connections) return;
    printf("open %ld\n", events);
    fflush(stdout);
}

static void ask(struct connection *c) {
    expect_message(&c->answer);
    c->events = c->digits = c->stamp = 0;
    c->out = request;
    c->begun = now();
    asked++;
    flush(c->fd, &c->out, 0);
}

/* Whether a connection may ask again; those not yet dialed ask once each in any case. */
static int wants_more(void) { return asked + options.connections - dialed < options.requests && now() < enough; }

static void dial(struct connection *c) {
    struct sockaddr_in address = local(options.port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    connect(c->fd, (struct sockaddr *)&address, sizeof address);
    watch(c->fd, c);
    ask(c);
}

static void hang_up(struct connection *c) {
    close(c->fd);
    c->fd = -1;
    if (wants_more()) dial(c);
    else busy--;
}

static void finish(struct connection *c) {
    int status = atoi(c->answer.head + 9);
    int good = (status == 200 || status == 101) && (!options.expected || c->answer.taken == options.expected);
    opened(c);
    if (!good || c->events != options.events) {
        failed++;
        if (!first_bad_status) first_bad_status = status;
        hang_up(c);
        return;
    }
    answered++, chunks += c->answer.chunks;
    sample(&latencies, now() - c->begun);
    if (strcasestr(c->answer.head, "\r\nconnection: close") || !wants_more()) hang_up(c);
    else ask(c);
}

static void lost(struct connection *c) {
    if (c->answer.state == UNTIL_CLOSE) {
        finish(c);
        return;
    }
    opened(c);
    failed++;
    hang_up(c);
}

static int is_stalled(struct connection *c) { return options.stall && c->is_open; }

static void serve(struct connection *c) {
    flush(c->fd, &c->out, 0);
    while (c->fd >= 0 && !is_stalled(c)) {
        ssize_t n = recv(c->fd, buffer, options.stall ? 4096 : BUFFER, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            lost(c);
            return;
        }
        feed(c, &c->answer, buffer, n);
        if (c->answer.state != HEAD) opened(c);
        if (c->answer.state == DONE) {
            finish(c);
            return; /* of a new request nothing has come yet, or it rings */
        }
    }
}

static u64 next_dial(void) { return start + dialed * options.ramp * 1000ull; }

static void dial_due(void) {
    while (dialed < options.connections && next_dial() <= now()) {
        struct connection *c = &connections[dialed++];
        if (now() < enough) dial(c);
        else busy--;
    }
}

static void run(void) {
    struct epoll_event ready[BATCH];
    busy = options.connections;
    start = now();
    enough = start + options.seconds * 1e9;
    deadline = enough + options.patience * 1e9;
    while (busy && now() < deadline) {
        dial_due();
        int count = happened(ready, dialed < options.connections && next_dial() < deadline ? next_dial() : deadline);
        for (int i = 0; i < count; i++) serve(ready[i].data.ptr);
    }
}

static void read_request(const char *name) {
    struct stat stat;
    int fd = open(name, O_RDONLY);
    if (fd < 0 || fstat(fd, &stat)) die(name);
    request.left = stat.st_size;
    request.at = mmap(0, request.left, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
}

static void read_options(int count, char **words) {
    int letter;
    while ((letter = getopt(count, words, "p:c:n:r:s:w:b:e:h")) >= 0) {
        switch (letter) {
        case 'p': options.port = atoi(optarg); break;
        case 'c': options.connections = atoi(optarg); break;
        case 'n': options.requests = atol(optarg); break;
        case 'r': options.ramp = atol(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'w': options.patience = atof(optarg); break;
        case 'b': options.expected = atol(optarg); break;
        case 'e': options.events = atol(optarg); break;
        case 'h': options.stall = 1; break; /* holds: reads a head, and then nothing */
        default: exit(2);
        }
    }
}

int main(int count, char **words) {
    read_options(count, words);
    read_request(words[optind]);
    connections = calloc(options.connections, sizeof *connections);
    poller = epoll_create1(0);
    run();
    if (!options.stall) failed += busy;
    printf("{\"answered\": %ld, \"failed\": %ld, \"status\": %d, \"seconds\": %.6f, \"events\": %ld, \"chunks\": %ld, "
           "\"latency_p50\": %.2f, \"latency_p99\": %.2f, \"delay_p50\": %.2f, \"delay_p99\": %.2f}\n",
           answered, failed, first_bad_status, (now() - start) / 1e9, events, chunks, microseconds(&latencies, .5),
           microseconds(&latencies, .99), microseconds(&delays, .5), microseconds(&delays, .99));
}
