/* The upstream: `upstream` listens on a port of its own choice on 127.0.0.1, prints it, and answers until it is killed.
 *
 * What it answers is said in the request's target: /size=N/… is a JSON answer of N bytes, /events=N,gap=MS/… a stream of
 * N events, one every MS milliseconds or all at once, /frames=N,gap=MS/… a WebSocket with N messages of 235 bytes and then
 * its end, /echo/… the request's own body. A paced event or message holds the time it was sent at behind an '@', which
 * stands nowhere else in an answer. */
#include "message.h"

#define FIELDS                                                                                                              \
    "x-request-id: req_0123456789abcdef0123456789abcdef\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: 412\r\n"     \
    "openai-organization: org-bench\r\nx-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n"       \
    "x-ratelimit-reset-requests: 6ms\r\ndate: Mon, 23 Nov 2026 08:00:00 GMT\r\n"
#define JSON_HEAD "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" FIELDS "content-length: %zu\r\n\r\n"
#define STREAM_HEAD                                                                                                         \
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n" FIELDS "transfer-encoding: chunked\r\n\r\n"
#define OPENING                                                                                                             \
    "{\"id\":\"resp_0a1b2c3d4e5f\",\"object\":\"response\",\"created_at\":1795420800,\"status\":\"completed\","             \
    "\"model\":\"bench\",\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\"output\":[{"                  \
    "\"id\":\"msg_0a1b2c3d\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{"           \
    "\"type\":\"output_text\",\"annotations\":[],\"text\":\""
#define CLOSING "\"}]}]}"
#define EVENT                                                                                                               \
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,"              \
    "\"item_id\":\"msg_0a1b2c3d\",\"output_index\":0,\"content_index\":0,\"delta\":\"@%019llu and a few words\"}\n\n"

#define SOCKET_HEAD                                                                                                         \
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"                                    \
    "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define FRAME_HEAD "\x81\x7e\x00\xe7"
#define MESSAGE                                                                                                             \
    "{\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"item_id\":\"msg_0a1b2c3d\",\"output_index\":0,"          \
    "\"content_index\":0,\"delta\":\"@%019llu and a few words\",\"obfuscation\":\"%*s\"}"

enum { PHASES = 20, FRAME_SIZE = 235, FRAME_HEAD_SIZE = 4, BLOCK = 500, KEPT = 16 << 20, EVENT_SIZE = 400 };

struct connection {
    int fd;
    struct message request;
    struct output out;
    int is_stream, is_socket, has_ended;
    const struct template *made_of;
    long events;
    u64 gap, due;
    char event[EVENT_SIZE];
    struct connection *next;
};

/* What a paced event is a copy of, and where the time goes. */
struct template {
    char bytes[EVENT_SIZE];
    size_t size, stamp_at;
};

static const enum state UNFRAMED = DONE;
static char kept[KEPT], answer[KEPT], block[BLOCK * EVENT_SIZE];
static struct template event, frame;
static struct connection *first_due, *last_due;

static void payload(struct connection *c, const char *bytes, size_t n) {
    size_t at = c->request.taken;
    if (c->request.head[6] == 'e' && c->request.head[7] == 'c' && at + n <= KEPT) memcpy(kept + at, bytes, n); /* POST /echo */
}

static void make_events(void) {
    char text[EVENT_SIZE - 20]; /* a chunk's frame comes to it */
    size_t n = sprintf(text, EVENT, 0ull);
    event.size = sprintf(event.bytes, "%zx\r\n%s\r\n", n, text);
    event.stamp_at = strchr(event.bytes, '@') + 1 - event.bytes;
    for (int i = 0; i < BLOCK; i++) memcpy(block + i * event.size, event.bytes, event.size);
}

static void make_frame(void) {
    char text[EVENT_SIZE];
    int padding = FRAME_SIZE - FRAME_HEAD_SIZE - sprintf(text, MESSAGE, 0ull, 0, "");
    sprintf(text, MESSAGE, 0ull, padding, "");
    memcpy(frame.bytes, FRAME_HEAD, FRAME_HEAD_SIZE);
    memcpy(frame.bytes + FRAME_HEAD_SIZE, text, FRAME_SIZE - FRAME_HEAD_SIZE);
    frame.size = FRAME_SIZE;
    frame.stamp_at = FRAME_HEAD_SIZE + (strchr(text, '@') + 1 - text);
}

static void answer_json(struct connection *c, size_t size) {
    static size_t made, whole;
    if (made != size) {
        size_t head = sprintf(answer, JSON_HEAD, size);
        memset(answer + head, 'x', size);
        memcpy(answer + head, OPENING, sizeof OPENING - 1);
        memcpy(answer + head + size - sizeof CLOSING + 1, CLOSING, sizeof CLOSING - 1);
        made = size, whole = head + size;
    }
    c->out = (struct output){answer, whole};
}

static void answer_echo(struct connection *c) {
    static char head[1024];
    struct output out = {head, sprintf(head, JSON_HEAD, c->request.taken)};
    flush(c->fd, &out, MSG_MORE);
    c->out = (struct output){kept, c->request.taken};
}

/* All streams of one run have the same gap, so that the place is nearly always the last. */
static void enqueue(struct connection *c) {
    struct connection **at = last_due && last_due->due <= c->due ? &last_due->next : &first_due;
    while (*at && (*at)->due <= c->due) at = &(*at)->next;
    c->next = *at;
    *at = c;
    if (!c->next) last_due = c;
}

/* Messages of WebSockets come one by one, evenly spread over the gap, however quickly a proxy opens them: how many a proxy
 * finds when it wakes up decides what one costs. */
static u64 first_of(const struct connection *c) {
    static long opened;
    u64 time = now();
    return c->is_socket ? (time / c->gap + 1) * c->gap + opened++ % PHASES * c->gap / PHASES : time + c->gap;
}

static void answer_stream(struct connection *c, const char *plan) {
    const char *gap = strstr(plan, "gap=");
    c->is_socket = *plan == 'f';
    c->made_of = c->is_socket ? &frame : &event;
    c->events = atol(strchr(plan, '=') + 1), c->gap = gap ? atol(gap + 4) * MILLISECOND : 0;
    c->is_stream = 1, c->has_ended = 0;
    c->out = (struct output){STREAM_HEAD, sizeof STREAM_HEAD - 1};
    if (c->is_socket) c->out = (struct output){SOCKET_HEAD, sizeof SOCKET_HEAD - 1};
    if (!c->gap) return;
    memcpy(c->event, c->made_of->bytes, c->made_of->size);
    c->due = first_of(c);
    enqueue(c);
}

/* What is to be sent next of an answer of which nothing is left to send; whether there is anything. */
static int refill(struct connection *c) {
    if (!c->is_stream || c->has_ended || (c->gap && c->events)) return 0;
    long n = c->events < BLOCK ? c->events : BLOCK;
    c->events -= n;
    c->has_ended = !n;
    c->out = n ? (struct output){block, n * event.size} : (struct output){"0\r\n\r\n", c->is_socket ? 0 : 5};
    return 1;
}

static void pump(struct connection *c) {
    while (flush(c->fd, &c->out, c->is_stream && !c->gap && !c->has_ended ? MSG_MORE : 0) && refill(c)) continue;
    if (c->is_socket && c->has_ended) shutdown(c->fd, SHUT_WR);
}

static void begin_answer(struct connection *c) {
    const char *size = strstr(c->request.head, "/size="), *events = strstr(c->request.head, "/events=");
    if (!events) events = strstr(c->request.head, "/frames=");
    c->is_stream = c->is_socket = 0;
    if (events) answer_stream(c, events + 1);
    else if (size) answer_json(c, atol(size + 6));
    else answer_echo(c);
    expect_message(&c->request);
    pump(c);
}

static int is_queued(const struct connection *c) { return c->is_stream && c->gap && c->events; }

static void send_event(struct connection *c, u64 time) {
    char digits[STAMP + 1];
    sprintf(digits, "%019llu", time);
    memcpy(c->event + c->made_of->stamp_at, digits, STAMP);
    c->out = (struct output){c->event, c->made_of->size};
    c->events--;
}

static void send_due(void) {
    for (u64 time = now(); first_due && first_due->due <= time; time = now()) {
        struct connection *c = first_due;
        if (!(first_due = c->next)) last_due = 0;
        c->due += c->gap;
        if (c->fd < 0) {
            free(c);
            continue;
        }
        if (!c->out.left) send_event(c, time); /* else it does not take them as fast */
        if (c->events) enqueue(c);
        pump(c);
    }
}

static void serve(struct connection *c) {
    ssize_t n;
    pump(c);
    while ((n = recv(c->fd, buffer, BUFFER, MSG_DONTWAIT)) > 0) {
        feed(c, &c->request, buffer, n);
        if (c->request.state == DONE) begin_answer(c);
    }
    if (n < 0 && errno == EAGAIN) return;
    close(c->fd);
    c->fd = -1;
    if (!is_queued(c)) free(c); /* the queue frees it */
}

static void take_connections(int listener) {
    int fd;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        watch(fd, c);
    }
}

static int listening(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = local(0);
    socklen_t size = sizeof address;
    struct epoll_event event = {.events = EPOLLIN};
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(void) {
    struct epoll_event events[BATCH];
    make_events();
    make_frame();
    poller = epoll_create1(0);
    for (int listener = listening();;) {
        int count = happened(events, first_due ? first_due->due : 0);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) serve(events[i].data.ptr);
            else take_connections(listener);
        }
        send_due();
    }
}
