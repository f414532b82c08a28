/* A relay as near to the limit as a plain C epoll loop gets: what a turn has to say to a connection is one write.
 *
 *     epoll PORT IMPL_TOKEN BOT_TOKEN
 *
 * Events of a turn are encoded once, into one buffer that all bots are sent from; a connection keeps bytes of its own
 * only for responses and for what its socket did not take.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handshake.h"
#include "wire.h"

#define READ_SIZE (256 * 1024)
#define MAX_MESSAGE (32u << 20)
#define MAX_WAITING (4u << 20)
#define MAX_CALLS (1u << 17)
#define MAX_FD 65536

struct conn {
    int fd, open, is_impl, wants_out, dirty, index;
    uint32_t generation;
    struct buf in, out;
    size_t taken; /* how much of this turn's events it has */
};

struct call {
    uint64_t id;
    int fd;
    uint32_t generation;
    struct buf echo;
};

static struct conn *conns[MAX_FD], *impl, *bots[MAX_FD], *dirty[MAX_FD];
static int poller, bot_count, dirty_count;
static uint32_t generations;
static struct buf events; /* of this turn, framed */
static struct call *calls;
static uint64_t last_call;
static const char *impl_token, *bot_token;

/* ------------------------------------------------------------------ UTF-8 */

static int is_utf8(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t w;
        if (i + 8 <= n && (memcpy(&w, p + i, 8), !(w & 0x8080808080808080u))) {
            i += 8;
            continue;
        }
        uint8_t a = p[i];
        if (a < 0x80) {
            i++;
            continue;
        }
        size_t more = a >= 0xc2 && a < 0xe0 ? 1 : a >= 0xe0 && a < 0xf0 ? 2 : a >= 0xf0 && a < 0xf5 ? 3 : 0;
        if (!more || i + more >= n)
            return 0;
        uint8_t b = p[i + 1];
        if ((b & 0xc0) != 0x80 || (a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || (a == 0xf0 && b < 0x90) ||
            (a == 0xf4 && b > 0x8f))
            return 0;
        for (size_t k = 2; k <= more; k++)
            if ((p[i + k] & 0xc0) != 0x80)
                return 0;
        i += more + 1;
    }
    return 1;
}

/* ------------------------------------------------------------------ connections */

static void mark(struct conn *c)
{
    if (!c->dirty) {
        c->dirty = 1;
        dirty[dirty_count++] = c;
    }
}

static void watch(struct conn *c, int wants_out)
{
    struct epoll_event e = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.fd = c->fd};
    c->wants_out = wants_out;
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e);
}

static void drop(struct conn *c)
{
    if (!c->open)
        return;
    c->open = 0;
    if (c == impl)
        impl = NULL;
    if (c->index >= 0) {
        bots[c->index] = bots[--bot_count];
        bots[c->index]->index = c->index;
        c->index = -1;
    }
    epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
    buf_free(&c->in);
    buf_free(&c->out);
    mark(c); /* it is freed at the end of the turn */
}

/* Puts the events that it has not taken yet in front of what follows. */
static void catch_up(struct conn *c)
{
    if (c->index >= 0 && c->taken < events.len) {
        if (buf_waiting(&c->out) < MAX_WAITING) /* a slow reader loses events */
            buf_add(&c->out, events.p + c->taken, events.len - c->taken);
        c->taken = events.len;
    }
}

static void say(struct conn *c, int op, const char *p, size_t n, const uint8_t *key)
{
    catch_up(c);
    frame_add(&c->out, op, p, n, key);
    mark(c);
}

static void flush(struct conn *c)
{
    c->dirty = 0;
    if (!c->open)
        return;
    if (!buf_waiting(&c->out) && c->index >= 0 && c->taken < events.len) {
        ssize_t n = send(c->fd, events.p + c->taken, events.len - c->taken, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            drop(c);
            return;
        }
        if (n > 0)
            c->taken += (size_t)n;
        if (c->taken == events.len)
            return;
        buf_add(&c->out, events.p + c->taken, events.len - c->taken); /* a frame that was begun is ended */
        c->taken = events.len;
        if (!c->wants_out)
            watch(c, 1);
        return;
    }
    catch_up(c);
    while (buf_waiting(&c->out)) {
        ssize_t n = send(c->fd, c->out.p + c->out.pos, buf_waiting(&c->out), MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN)
                drop(c);
            else if (!c->wants_out)
                watch(c, 1);
            return;
        }
        c->out.pos += (size_t)n;
    }
    if (c->wants_out)
        watch(c, 0);
}

static void end_turn(void)
{
    if (events.len)
        for (int i = bot_count; i-- > 0;)
            flush(bots[i]);
    for (int i = 0; i < dirty_count; i++) {
        struct conn *c = dirty[i];
        flush(c);
        if (!c->open) {
            conns[c->fd] = NULL;
            close(c->fd);
            free(c);
        }
    }
    dirty_count = 0;
    if (events.len) {
        events.len = 0;
        for (int i = 0; i < bot_count; i++)
            bots[i]->taken = 0;
    }
}

/* ------------------------------------------------------------------ what the relay does */

static void got_action(struct conn *c, const char *p, size_t n)
{
    static const char *const keys[] = {"action", "params", "echo"};
    static const char none[] = "{\"status\":\"failed\",\"retcode\":1501,\"data\":null}";
    static struct buf text;
    struct span found[3];
    char echo[40];
    if (json_members(p, n, 3, keys, found) || !found[0].p || !impl) {
        say(c, OP_TEXT, none, sizeof none - 1, NULL);
        return;
    }
    struct call *call = &calls[++last_call % MAX_CALLS];
    call->id = last_call;
    call->fd = c->fd;
    call->generation = c->generation;
    call->echo.pos = call->echo.len = 0;
    buf_add(&call->echo, found[2].p ? found[2].p : "", found[2].n);
    text.len = 0;
    buf_add(&text, "{\"action\":", 10);
    buf_add(&text, found[0].p, found[0].n);
    buf_add(&text, ",\"params\":", 10);
    buf_add(&text, found[1].p ? found[1].p : "{}", found[1].p ? found[1].n : 2);
    int length = sprintf(echo, ",\"echo\":%llu}", (unsigned long long)last_call);
    buf_add(&text, echo, (size_t)length);
    say(impl, OP_TEXT, text.p, text.len, NULL);
}

static void got_answer(const char *p, size_t n, struct span echo)
{
    static struct buf text;
    char digits[24] = "";
    if (echo.n > 20)
        return;
    memcpy(digits, echo.p, echo.n);
    uint64_t id = strtoull(digits, NULL, 10);
    struct call *call = &calls[id % MAX_CALLS];
    if (!id || call->id != id)
        return;
    call->id = 0;
    struct conn *c = conns[call->fd];
    if (!c || !c->open || c->generation != call->generation)
        return;
    text.len = 0;
    buf_add(&text, p, (size_t)(echo.p - p));
    buf_add(&text, call->echo.p, call->echo.len);
    buf_add(&text, echo.p + echo.n, (size_t)(p + n - echo.p) - echo.n);
    say(c, OP_TEXT, text.p, text.len, NULL);
}

static void got_text(struct conn *c, const char *p, size_t n)
{
    static const char *const keys[] = {"echo", "retcode", "post_type", "self_id"};
    struct span found[4];
    if (!is_utf8((const uint8_t *)p, n)) {
        drop(c);
        return;
    }
    if (!c->is_impl) {
        got_action(c, p, n);
        return;
    }
    if (json_members(p, n, 4, keys, found))
        return;
    if (found[0].p && found[1].p)
        got_answer(p, n, found[0]);
    else if (found[2].p && !span_is(found[2], "\"meta_event\"") && span_is(found[3], "10001"))
        frame_add(&events, OP_TEXT, p, n, NULL);
}

static size_t use_frame(struct conn *c, char *p, size_t n)
{
    struct frame f;
    int found = frame_head(p, n, &f);
    if (found < 0 || (found && (!f.masked || !f.fin || f.op == OP_CONT || f.len > MAX_MESSAGE))) {
        drop(c); /* our peers send no fragments */
        return 0;
    }
    if (!found || n < f.head + f.len)
        return 0;
    p += f.head;
    frame_mask(p, p, f.len, f.key);
    if (f.op == OP_TEXT || f.op == OP_BINARY) {
        got_text(c, p, f.len);
    } else if (f.op == OP_PING) {
        say(c, OP_PONG, p, f.len, NULL);
    } else if (f.op == OP_CLOSE) {
        say(c, OP_CLOSE, p, f.len < 2 ? f.len : 2, NULL);
        flush(c);
        drop(c);
    }
    return f.head + f.len;
}

static size_t use_handshake(struct conn *c, const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    char accept[29], answer[256], token[300];
    if (!end)
        return 0;
    c->is_impl = n > 20 && !memcmp(p, "GET /onebot/v11/ws ", 19);
    struct span key = header(p, end, "Sec-WebSocket-Key"), shown = header(p, end, "Authorization");
    snprintf(token, sizeof token, "Bearer %s", c->is_impl ? impl_token : bot_token);
    if (!key.p || key.n != 24 || !span_is(shown, token)) {
        static const char refused[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        ssize_t ignored = send(c->fd, refused, sizeof refused - 1, MSG_NOSIGNAL);
        (void)ignored;
        drop(c);
        return 0;
    }
    accept_value(key.p, key.n, accept);
    int length = snprintf(answer, sizeof answer,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    buf_add(&c->out, answer, (size_t)length);
    c->open = 2;
    if (c->is_impl) {
        impl = c;
        mark(c);
    } else {
        static const char first[] = "{\"time\":1760000000,\"self_id\":10001,\"post_type\":\"meta_event\","
                                    "\"meta_event_type\":\"lifecycle\",\"sub_type\":\"connect\"}";
        c->taken = events.len;
        say(c, OP_TEXT, first, sizeof first - 1, NULL);
        c->index = bot_count;
        bots[bot_count++] = c;
    }
    return (size_t)(end + 4 - p);
}

static void readable(struct conn *c)
{
    ssize_t n;
    static char arena[READ_SIZE * 4];
    size_t have = buf_waiting(&c->in), used = 0;
    char *p = arena;
    if (have > READ_SIZE * 3) { /* a large message grows in its own buffer */
        n = recv(c->fd, buf_room(&c->in, READ_SIZE), READ_SIZE, 0);
        p = c->in.p + c->in.pos;
    } else {
        if (have)
            memcpy(arena, c->in.p + c->in.pos, have);
        n = recv(c->fd, arena + have, READ_SIZE, 0);
    }
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(c);
        return;
    }
    if (p != arena)
        c->in.len += (size_t)n;
    have += (size_t)n;
    while (used < have && c->open) {
        size_t step = c->open == 1 ? use_handshake(c, p + used, have - used) : use_frame(c, p + used, have - used);
        if (!step)
            break;
        used += step;
    }
    if (!c->open)
        return;
    if (p != arena) {
        c->in.pos += used;
        return;
    }
    c->in.pos = c->in.len = 0;
    if (used < have)
        buf_add(&c->in, arena + used, have - used);
}

static void incoming(int listener)
{
    for (int i = 0; i < 64; i++) {
        int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (fd >= MAX_FD) {
            close(fd);
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->open = 1;
        c->index = -1;
        c->generation = ++generations;
        conns[fd] = c;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event ready[1024];
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct rlimit files;
    int one = 1;
    if (argc != 4)
        return 2;
    impl_token = argv[2];
    bot_token = argv[3];
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    calls = calloc(MAX_CALLS, sizeof *calls);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    at.sin_port = htons((uint16_t)atoi(argv[1]));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024)) {
        perror("listen");
        return 1;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(poller, ready, 1024, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                incoming(listener);
                continue;
            }
            struct conn *c = conns[fd];
            if (!c || !c->open)
                continue;
            if (ready[i].events & EPOLLOUT)
                mark(c);
            if (ready[i].events & ~(uint32_t)EPOLLOUT)
                readable(c);
        }
        end_turn();
    }
}
