/* The load generator: one process, one epoll loop. It plays the implementation of account 10001 and all its bots.
 * With listen=PORT it is an implementation that the server dials: of OneBot 11, or with protocol=milky of Milky.
 *
 *     load mode=fanout port=8081 pid=1234 bots=200 size=1024 window=64 seconds=2
 *
 * It prints one JSON object: what was measured, or {"ok": false, "why": ...}. benchmarks/README.md tells what each
 * mode does. Every event carries a number: one that is missing, comes twice or out of order ends the run as failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#include "handshake.h"
#include "wire.h"

#define SELF_ID "10001"
#define FIRST_ID 1000000000u /* message_id of event 0: the numbers have ten digits */
#define RING 65536           /* events that may be under way; a power of two */
#define READ_SIZE (256 * 1024)
#define ARENA (4 * READ_SIZE)
#define MAX_DEPTH 64
#define MAX_CALLERS 256      /* connections of the server to the implementation */

/* ------------------------------------------------------------------ what was asked for */

static struct {
    const char *mode, *impl_token, *bot_token, *extra_token, *protocol;
    int port, listen, pid, bots, attached, size, window, depth, concurrency, numbered, tls, backlog, extra;
    double seconds, warmup, rate, patience;
} opt = {
    .mode = "fanout", .impl_token = "impl", .bot_token = "bot", .extra_token = "extra", .protocol = "onebot",
    .bots = 1, .size = 1024, .window = 64, .depth = 1, .concurrency = 64, .backlog = 100000,
    .seconds = 2, .warmup = 0.3, .rate = 0, .patience = 15,
};

static void die(const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf("{\"ok\": false, \"why\": \"");
    for (char *p = text; *p; p++)
        putchar(*p == '"' || *p == '\\' || (unsigned char)*p < 32 || (unsigned char)*p > 126 ? '?' : *p);
    printf("\"}\n");
    fflush(stdout);
    _exit(1);
}

static void read_options(int argc, char **argv)
{
    struct { const char *name; const char **s; int *i; double *d; } known[] = {
        {"mode", .s = &opt.mode}, {"impl_token", .s = &opt.impl_token}, {"bot_token", .s = &opt.bot_token},
        {"extra_token", .s = &opt.extra_token}, {"protocol", .s = &opt.protocol}, {"port", .i = &opt.port},
        {"listen", .i = &opt.listen}, {"pid", .i = &opt.pid},
        {"bots", .i = &opt.bots}, {"attached", .i = &opt.attached}, {"size", .i = &opt.size},
        {"window", .i = &opt.window}, {"depth", .i = &opt.depth}, {"concurrency", .i = &opt.concurrency},
        {"numbered", .i = &opt.numbered}, {"tls", .i = &opt.tls}, {"backlog", .i = &opt.backlog},
        {"extra", .i = &opt.extra}, {"seconds", .d = &opt.seconds}, {"warmup", .d = &opt.warmup},
        {"rate", .d = &opt.rate}, {"patience", .d = &opt.patience},
    };
    for (int a = 1; a < argc; a++) {
        char *value = strchr(argv[a], '=');
        int hit = 0;
        for (size_t k = 0; value && k < sizeof known / sizeof *known; k++)
            if (strlen(known[k].name) == (size_t)(value - argv[a]) &&
                !memcmp(known[k].name, argv[a], (size_t)(value - argv[a]))) {
                hit = 1;
                if (known[k].s)
                    *known[k].s = value + 1;
                else if (known[k].i)
                    *known[k].i = atoi(value + 1);
                else
                    *known[k].d = atof(value + 1);
            }
        if (!hit)
            die("unknown option %s", argv[a]);
    }
    if (opt.attached < opt.bots)
        opt.attached = opt.bots;
    if (opt.depth < 1 || opt.depth > MAX_DEPTH || opt.window < 1 || opt.window > RING / 2 || opt.bots < 1)
        die("depth, window or bots is out of range");
}

/* ------------------------------------------------------------------ clocks and figures */

static uint64_t nanoseconds(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now(void) { return nanoseconds(CLOCK_MONOTONIC); }

/* utime + stime of the server, all its threads, in seconds (proc_pid_stat(5), fields 14 and 15). */
static double server_cpu(void)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
    FILE *file = fopen(path, "r");
    if (!file)
        die("the server (pid %d) is gone", opt.pid);
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    char *p = strrchr(text, ')');
    unsigned long utime, stime;
    if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &utime, &stime) != 2)
        die("cannot read %s", path);
    return (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
}

static long server_rss(void)
{
    char path[64];
    long size, resident;
    snprintf(path, sizeof path, "/proc/%d/statm", opt.pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
        die("cannot read %s", path);
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

struct moment {
    uint64_t wall, own;
    double server;
};

static struct moment moment(void)
{
    return (struct moment){now(), nanoseconds(CLOCK_PROCESS_CPUTIME_ID), server_cpu()};
}

/* A histogram of nanoseconds in steps below 2 %. */
#define SUB 128
struct histogram {
    uint64_t count, at[64 * SUB];
};

static void histogram_add(struct histogram *h, uint64_t v, uint64_t times)
{
    int shift = v < SUB ? 0 : 57 - __builtin_clzll(v); /* v >> shift is in SUB/2 .. SUB */
    h->at[(size_t)shift * SUB + (v >> shift)] += times;
    h->count += times;
}

static double histogram_us(const struct histogram *h, double share)
{
    uint64_t want = (uint64_t)((double)h->count * share), seen = 0;
    for (size_t i = 0; i < sizeof h->at / sizeof *h->at; i++) {
        seen += h->at[i];
        if (h->at[i] && seen > want)
            return ((double)(i % SUB) + 0.5) * (double)(1ull << (i / SUB)) / 1000.0;
    }
    return 0;
}

static struct histogram latency;
static int recording;

static void print_result(const char *extra, double units, struct moment a, struct moment b)
{
    double wall = (double)(b.wall - a.wall) / 1e9;
    printf("{\"ok\": true, \"units\": %.0f, \"wall\": %.6f, \"server_cpu\": %.3f, \"own_share\": %.4f", units, wall,
           b.server - a.server, (double)(b.own - a.own) / 1e9 / wall);
    if (latency.count)
        printf(", \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f", histogram_us(&latency, 0.5),
               histogram_us(&latency, 0.99), histogram_us(&latency, 0.999));
    printf("%s}\n", extra);
}

/* ------------------------------------------------------------------ connections */

enum state { UNUSED, CONNECTING, OPEN, READY, CLOSING, CLOSED, REFUSED };

struct conn {
    int fd, is_impl, is_server, index, dirty, wants_out, stalled, unchecked, uncounted, may_close;
    enum state state;
    struct buf in, out;
    uint64_t next;                                  /* the number of the event that must come next */
    uint64_t expected[MAX_DEPTH], asked[MAX_DEPTH]; /* calls: the echo under way, and since when */
#ifdef WITH_TLS
    SSL *ssl;
#endif
};

static struct conn dialling_impl, *impl = &dialling_impl, *bots, listener, callers[MAX_CALLERS];
static int poller, bots_made, ready_count, closed_count, introduced;
static struct conn **dirty;
static int dirty_count;
static uint64_t batch_time; /* when the bytes that are looked at were read */
static uint64_t mask_seed = 0x9e3779b97f4a7c15u;

#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static const uint8_t *new_key(void)
{
    static uint8_t key[4];
    mask_seed ^= mask_seed << 13;
    mask_seed ^= mask_seed >> 7;
    mask_seed ^= mask_seed << 17;
    memcpy(key, &mask_seed, 4);
    return key;
}

static const char *who(const struct conn *c)
{
    static char name[40];
    if (c->is_impl)
        return "the implementation";
    snprintf(name, sizeof name, "bot %d", c->index);
    return name;
}

static void mark(struct conn *c)
{
    if (!c->dirty) {
        c->dirty = 1;
        dirty[dirty_count++] = c;
    }
}

static void send_frame(struct conn *c, int op, const char *p, size_t n)
{
    frame_add(&c->out, op, p, n, c->is_server ? NULL : new_key());
    mark(c);
}

static void watch(struct conn *c, int wants_out)
{
    struct epoll_event e = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.ptr = c};
    c->wants_out = wants_out;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &e))
        die("epoll_ctl: %s", strerror(errno));
}

static void ended(struct conn *c, const char *why)
{
    if (c->state == CLOSED)
        return;
    if (c->state != CLOSING && c->state != REFUSED && !c->may_close)
        die("%s lost its connection: %s", who(c), why);
    if (c->state == READY)
        ready_count--;
    c->state = CLOSED;
    closed_count += !c->is_server;
    epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
#ifdef WITH_TLS
    if (c->ssl)
        SSL_free(c->ssl);
    c->ssl = NULL;
#endif
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
}

/* Bytes that were read; 0: none now; -1: it ended. */
static ssize_t take(struct conn *c, char *to, size_t room)
{
#ifdef WITH_TLS
    if (c->ssl) {
        size_t have = 0;
        while (room - have >= 16384) {
            int n = SSL_read(c->ssl, to + have, (int)(room - have));
            if (n > 0) {
                have += (size_t)n;
                continue;
            }
            int why = SSL_get_error(c->ssl, n);
            if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
                break;
            ERR_clear_error();
            return have ? (ssize_t)have : -1;
        }
        return (ssize_t)have;
    }
#endif
    ssize_t n = recv(c->fd, to, room, 0);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t give(struct conn *c, const char *p, size_t n)
{
#ifdef WITH_TLS
    if (c->ssl) {
        int sent = SSL_write(c->ssl, p, (int)(n > 1 << 20 ? 1 << 20 : n));
        if (sent > 0)
            return sent;
        int why = SSL_get_error(c->ssl, sent);
        ERR_clear_error();
        return why == SSL_ERROR_WANT_READ ? -2 : why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static void flush(struct conn *c)
{
    c->dirty = 0;
    if (c->state == CLOSED || c->state == UNUSED)
        return;
    while (buf_waiting(&c->out)) {
        ssize_t n = give(c, c->out.p + c->out.pos, buf_waiting(&c->out));
        if (n == -2) /* TLS has to read first; flushed again after the next read */
            return;
        if (n < 0) {
            ended(c, "cannot be written to");
            return;
        }
        if (n == 0) {
            if (!c->wants_out)
                watch(c, 1);
            return;
        }
        c->out.pos += (size_t)n;
    }
    if (c->wants_out)
        watch(c, 0);
}

static void flush_all(void)
{
    for (int i = 0; i < dirty_count; i++)
        flush(dirty[i]);
    dirty_count = 0;
}

static void dial(struct conn *c, const char *token, int receive_buffer)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    int one = 1;
    char request[1024];
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (receive_buffer)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    c->state = CONNECTING;
    c->next = 0;
    c->wants_out = 1;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e))
        die("epoll_ctl: %s", strerror(errno));
#ifdef WITH_TLS
    if (opt.tls) {
        c->ssl = SSL_new(tls_context);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_connect_state(c->ssl);
        SSL_set_tlsext_host_name(c->ssl, "localhost");
    }
#endif
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                     "Authorization: Bearer %s\r\n%s\r\n",
                     c->is_impl ? "/onebot/v11/ws" : "/", opt.port, token,
                     c->is_impl ? "X-Self-ID: " SELF_ID "\r\nX-Client-Role: Universal\r\n" : "");
    buf_add(&c->out, request, (size_t)n);
}

static void dial_bot(int index, int receive_buffer)
{
    char token[200];
    struct conn *c = &bots[index];
    memset(c, 0, sizeof *c);
    c->index = index;
    if (opt.numbered)
        snprintf(token, sizeof token, "%s-%d", opt.bot_token, index);
    else
        snprintf(token, sizeof token, "%s", opt.bot_token);
    dial(c, token, receive_buffer);
}

static void hang_up(struct conn *c)
{
    if (c->state == READY)
        ready_count--;
    c->state = CLOSING;
    send_frame(c, OP_CLOSE, "\x03\xe8", 2);
}

/* ------------------------------------------------------------------ events */

static char *event_text;
static char *event_words; /* the text of the message */
static size_t event_size, number_at;
static uint64_t sent, complete; /* events sent; events that all counted bots have */
static uint64_t sent_at[RING];
static uint32_t holders[RING];
static uint32_t counted; /* bots that must get every event */
static uint64_t deliveries;

static int is_milky(void) { return !strcmp(opt.protocol, "milky"); }

/* The same message as Lagrange.Milky and others send it. */
static void make_milky_event(void)
{
    event_size = (size_t)sprintf(event_text,
        "{\"time\":1760000000,\"self_id\":" SELF_ID ",\"event_type\":\"message_receive\",\"data\":{"
        "\"message_scene\":\"group\",\"peer_id\":30001,\"message_seq\":%u,\"sender_id\":20001,"
        "\"time\":1760000000,\"segments\":[{\"type\":\"text\",\"data\":{\"text\":\"%s\"}}],"
        "\"group\":{\"group_id\":30001,\"group_name\":\"benchmark\",\"member_count\":3,"
        "\"max_member_count\":200,\"remark\":\"\",\"created_time\":1600000000,\"description\":\"\","
        "\"question\":\"\",\"announcement\":\"\"},\"group_member\":{\"user_id\":20001,"
        "\"nickname\":\"Alice\",\"sex\":\"female\",\"group_id\":30001,\"card\":\"\",\"title\":\"\","
        "\"level\":12,\"role\":\"member\",\"join_time\":1600000000,\"last_sent_time\":1760000000,"
        "\"shut_up_end_time\":null}}}",
        FIRST_ID, event_words);
    number_at = (size_t)(strstr(event_text, "\"message_seq\":") - event_text) + 14;
}

/* A group message as NapCat sends them, with a text that makes it `size` bytes long. */
static void make_event(size_t size)
{
    static const char words[] = "今天天气真好, shall we go out for a walk? 好的。 ";
    char *text = calloc(1, size + 64);
    free(event_text);
    event_text = calloc(1, 2 * size + 2048);
    for (size_t pad = 0;; pad++) {
        /* Whole characters of the words, then spaces. */
        size_t whole = 0, step;
        for (; whole < pad; whole += step) {
            uint8_t lead = (uint8_t)words[whole % (sizeof words - 1)];
            step = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
            if (whole + step > pad)
                break;
            for (size_t i = 0; i < step; i++)
                text[whole + i] = words[(whole + i) % (sizeof words - 1)];
        }
        while (whole < pad)
            text[whole++] = '.';
        text[pad] = 0;
        event_size = (size_t)sprintf(event_text,
            "{\"self_id\":" SELF_ID ",\"user_id\":20001,\"time\":1760000000,\"message_id\":%u,"
            "\"message_type\":\"group\",\"sender\":{\"user_id\":20001,\"nickname\":\"Alice\"},"
            "\"raw_message\":\"%s\",\"font\":14,\"sub_type\":\"normal\","
            "\"message\":[{\"type\":\"text\",\"data\":{\"text\":\"%s\"}}],\"post_type\":\"message\",\"group_id\":30001}",
            FIRST_ID, text, text);
        if (pad == 0 && event_size > size)
            die("an event has at least %zu bytes", event_size);
        if (event_size + 1 == size) /* an odd byte: the font has three digits */
            memmove(strstr(event_text, "\"font\":14") + 9, strstr(event_text, "\"font\":14") + 8,
                    strlen(strstr(event_text, "\"font\":14") + 8) + 1), event_size++;
        if (event_size == size)
            break;
        if (event_size + 2 + 2 * 256 < size) { /* jump, then creep */
            pad += (size - event_size) / 2 - 200;
            text[0] = 0;
        }
    }
    number_at = (size_t)(strstr(event_text, "\"message_id\":") - event_text) + 13;
    free(event_words);
    event_words = text;
    if (is_milky())
        make_milky_event();
}

static uint32_t read_number(const char *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 10; i++)
        v = v * 10 + (uint32_t)(p[i] - '0');
    return v;
}

static void put_number(char *p, uint32_t v)
{
    for (int i = 9; i >= 0; i--, v /= 10)
        p[i] = (char)('0' + v % 10);
}

static void send_event(uint64_t when)
{
    put_number(event_text + number_at, FIRST_ID + (uint32_t)sent);
    sent_at[sent % RING] = when;
    holders[sent % RING] = 0;
    sent++;
    send_frame(impl, OP_TEXT, event_text, event_size);
}

static void got_event(struct conn *c, uint32_t number)
{
    uint64_t n = number - FIRST_ID;
    if (c->unchecked)
        return;
    if (n != c->next)
        die("%s got event %llu when %llu was due", who(c), (unsigned long long)n, (unsigned long long)c->next);
    c->next++;
    if (c->uncounted)
        return;
    deliveries++;
    if (recording)
        histogram_add(&latency, batch_time > sent_at[n % RING] ? batch_time - sent_at[n % RING] : 0, 1);
    if (++holders[n % RING] == counted && n == complete)
        while (complete < sent && holders[complete % RING] == counted)
            complete++;
}

/* ------------------------------------------------------------------ calls */

static uint64_t calls_done, calls_begun;
static int calls_stop;

static void ask(struct conn *c, int slot)
{
    char text[300];
    /* Every bot counts for itself, so that all bots use the same echoes at the same time. */
    uint64_t echo = ++c->next * MAX_DEPTH + (uint64_t)slot;
    /* In Milky those of one group are sent one after the other. */
    int group = opt.listen ? 30001 + c->index * MAX_DEPTH + slot : 30001;
    int n = snprintf(text, sizeof text,
                     "{\"action\":\"send_group_msg\",\"params\":{\"group_id\":%d,\"message\":"
                     "[{\"type\":\"text\",\"data\":{\"text\":\"good morning, everybody\"}}]},\"echo\":\"%llu\"}",
                     group, (unsigned long long)echo);
    c->expected[slot] = echo;
    c->asked[slot] = batch_time;
    calls_begun++;
    send_frame(c, OP_TEXT, text, (size_t)n);
}

static void got_response(struct conn *c, const char *p, size_t n)
{
    static const char *const keys[] = {"echo", "retcode"};
    struct span found[2];
    char digits[24] = "";
    if (json_members(p, n, 2, keys, found) || !found[0].p || !found[1].p)
        die("%s got something odd: %.*s", who(c), (int)(n > 200 ? 200 : n), p);
    if (!span_is(found[1], "0") || found[0].n < 3 || found[0].n > 22 || found[0].p[0] != '"')
        die("%s got a bad response: %.*s", who(c), (int)(n > 200 ? 200 : n), p);
    memcpy(digits, found[0].p + 1, found[0].n - 2);
    uint64_t echo = strtoull(digits, NULL, 10);
    int slot = (int)(echo % MAX_DEPTH);
    if (!echo || c->expected[slot] != echo)
        die("%s got a response to what it did not ask: echo %s", who(c), digits);
    c->expected[slot] = 0;
    calls_done++;
    if (recording)
        histogram_add(&latency, batch_time - c->asked[slot], 1);
    if (!calls_stop)
        ask(c, slot);
}

/* The implementation's side: an honest answer, the echo put back byte for byte. */
static void got_action(const char *p, size_t n)
{
    static const char *const keys[] = {"action", "echo"};
    struct span found[2];
    char answer[2048];
    if (json_members(p, n, 2, keys, found) || !found[0].p)
        die("the implementation got something odd: %.*s", (int)(n > 200 ? 200 : n), p);
    const char *data = "{\"message_id\":12345}";
    if (span_is(found[0], "\"get_login_info\"")) {
        data = "{\"user_id\":" SELF_ID ",\"nickname\":\"benchmark\"}";
        introduced = 1;
    } else if (span_is(found[0], "\"get_version_info\"")) {
        data = "{\"app_name\":\"load\",\"app_version\":\"1\",\"protocol_version\":\"v11\"}";
    } else if (span_is(found[0], "\"get_status\"")) {
        data = "{\"online\":true,\"good\":true}";
    }
    if (found[1].n > 1024)
        die("the implementation got an echo of %zu bytes", found[1].n);
    int length = snprintf(answer, sizeof answer,
                          "{\"status\":\"ok\",\"retcode\":0,\"data\":%s,\"message\":\"\",\"wording\":\"\"%s%.*s}", data,
                          found[1].p ? ",\"echo\":" : "", (int)found[1].n, found[1].p ? found[1].p : "");
    send_frame(impl, OP_TEXT, answer, (size_t)length);
}

/* Milky's side of the same: one call by POST. */
static void got_post(struct conn *c, const char *name, size_t n)
{
    static unsigned seq = FIRST_ID;
    char data[256], answer[512], body[400];
    int status = 200;
    snprintf(data, sizeof data, "{}");
    if (n == 14 && !memcmp(name, "get_login_info", n)) {
        snprintf(data, sizeof data, "{\"uin\":" SELF_ID ",\"nickname\":\"benchmark\"}");
        introduced = 1;
    } else if (n == 13 && !memcmp(name, "get_impl_info", n)) {
        snprintf(data, sizeof data, "{\"impl_name\":\"load\",\"impl_version\":\"1\",\"qq_protocol_version\":\"1\","
                 "\"qq_protocol_type\":\"linux\",\"milky_version\":\"1.2\"}");
    } else if (n == 18 && !memcmp(name, "send_group_message", n)) {
        snprintf(data, sizeof data, "{\"message_seq\":%u,\"time\":1760000000}", ++seq);
    } else if (n == 20 && !memcmp(name, "get_history_messages", n)) {
        snprintf(data, sizeof data, "{\"messages\":[]}");
    } else if (n == 19 && !memcmp(name, "get_friend_requests", n)) {
        snprintf(data, sizeof data, "{\"requests\":[]}");
    } else if (n == 23 && !memcmp(name, "get_group_notifications", n)) {
        snprintf(data, sizeof data, "{\"notifications\":[]}");
    } else {
        status = 404;
    }
    int length = snprintf(body, sizeof body, "{\"status\":\"ok\",\"retcode\":0,\"data\":%s}", data);
    if (status == 404)
        length = 0;
    int whole = snprintf(answer, sizeof answer,
                         "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%.*s", status,
                         status == 200 ? "OK" : "Not Found", length, length, body);
    buf_add(&c->out, answer, (size_t)whole);
    mark(c);
}

/* What the server asks of an implementation that it dials: the handshake, or a call of Milky. */
static size_t use_request(struct conn *c, const char *p, size_t n)
{
    char token[200], answer[256], accept[29];
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    struct span shown = header(p, end, "Authorization"), length = header(p, end, "Content-Length");
    size_t used = (size_t)(end + 4 - p) + (length.p ? (size_t)atol(length.p) : 0);
    snprintf(token, sizeof token, "Bearer %s", opt.impl_token);
    if (!span_is(shown, token))
        die("the server asks without the token: %.*s", (int)(n > 200 ? 200 : n), p);
    if (n < used)
        return 0;
    if (!memcmp(p, "POST /api/", 10)) {
        const char *name = p + 10, *stop = memchr(name, ' ', (size_t)(end - name));
        got_post(c, name, stop ? (size_t)(stop - name) : 0);
        return used;
    }
    struct span key = header(p, end, "Sec-WebSocket-Key");
    if (memcmp(p, "GET /", 5) || key.n != 24 || impl->state == READY)
        die("the server asks something odd: %.*s", (int)(n > 200 ? 200 : n), p);
    accept_value(key.p, key.n, accept);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    buf_add(&c->out, answer, (size_t)size);
    mark(c);
    impl = c;
    c->is_impl = 1;
    c->may_close = 0;
    c->state = READY;
    return used;
}

static void accept_callers(void)
{
    for (;;) {
        int one = 1, fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), k = 0;
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while (k < MAX_CALLERS && callers[k].state != UNUSED && callers[k].state != CLOSED)
            k++;
        if (k == MAX_CALLERS)
            die("the server has more than %d connections to the implementation", MAX_CALLERS);
        struct conn *c = &callers[k];
        int was_dirty = c->dirty;
        memset(c, 0, sizeof *c);
        c->dirty = was_dirty;
        c->fd = fd;
        c->index = k;
        c->is_server = c->may_close = 1;
        c->state = CONNECTING;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e))
            die("epoll_ctl: %s", strerror(errno));
    }
}

static void listen_for_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.listen)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &listener};
    int one = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener.fd, (struct sockaddr *)&at, sizeof at) || listen(listener.fd, 1024))
        die("port %d: %s", opt.listen, strerror(errno));
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener.fd, &e))
        die("epoll_ctl: %s", strerror(errno));
}

/* ------------------------------------------------------------------ what comes in */

static void got_text(struct conn *c, const char *p, size_t n)
{
    if (c->is_impl) {
        got_action(p, n);
        return;
    }
    if (c->state == CLOSING)
        return;
    if (c->state == OPEN) {
        if (!memmem(p, n, "\"lifecycle\"", 11))
            die("the first frame of %s is no lifecycle: %.*s", who(c), (int)(n > 200 ? 200 : n), p);
        c->state = READY;
        ready_count++;
        return;
    }
    if (n == event_size && !memcmp(p, event_text, number_at)) {
        uint32_t number = read_number(p + number_at);
        /* Each of them is checked by its number and length, every 61st byte for byte. */
        if (number % 61 == 0 && memcmp(p + number_at + 10, event_text + number_at + 10, n - number_at - 10))
            die("%s got event %u with other bytes", who(c), number - FIRST_ID);
        got_event(c, number);
        return;
    }
    if (memmem(p, n, "\"meta_event\"", 12))
        return;
    if (is_milky()) {
        const char *seq = memmem(p, n, "\"message_seq\":1", 15);
        if (seq && memmem(p, n, "\"post_type\":\"message\"", 21) && p + n - seq > 24) {
            uint32_t number = read_number(seq + 14);
            if (number % 61 == 0 && !memmem(p, n, event_words, strlen(event_words)))
                die("%s got event %u with another text", who(c), number - FIRST_ID);
            got_event(c, number);
            return;
        }
    }
    const char *id = memmem(p, n, "\"message_id\":1", 14);
    if (id && memmem(p, n, "\"post_type\"", 11) && p + n - id > 23)
        got_event(c, read_number(id + 13));
    else
        got_response(c, p, n);
}

/* How many bytes of the frame were used; 0 if it is not complete. */
static size_t use_frame(struct conn *c, char *p, size_t n)
{
    struct frame f;
    int found = frame_head(p, n, &f);
    if (found < 0 || (found && (f.masked != c->is_server || !f.fin || f.op == OP_CONT || f.len > ARENA / 2)))
        die("%s got a frame that breaks the protocol", who(c));
    if (!found || n < f.head + f.len)
        return 0;
    p += f.head;
    if (f.masked)
        frame_mask(p, p, f.len, f.key);
    if (f.op == OP_TEXT) {
        got_text(c, p, f.len);
    } else if (f.op == OP_PING) {
        send_frame(c, OP_PONG, p, f.len);
    } else if (f.op == OP_CLOSE) {
        if (c->state != CLOSING && !c->may_close)
            die("the server closed %s: %d %.*s", who(c), f.len > 1 ? (uint8_t)p[0] << 8 | (uint8_t)p[1] : 1005,
                (int)(f.len > 2 ? f.len - 2 : 0), p + 2);
        if (c->state == CLOSING)
            ended(c, "");
        else
            hang_up(c);
    } else if (f.op != OP_PONG) {
        die("%s got a frame of opcode %d", who(c), f.op);
    }
    return f.head + f.len;
}

static size_t use_handshake(struct conn *c, const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (n > 12 && !memcmp(p, "HTTP/1.1 503", 12)) {
        c->state = REFUSED;
        ended(c, "");
        return 0;
    }
    if (memcmp(p, "HTTP/1.1 101", 12) || !memmem(p, (size_t)(end - p), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28))
        die("the handshake of %s was refused: %.*s", who(c), (int)(n > 60 ? 60 : n), p);
    c->state = OPEN;
    return (size_t)(end + 4 - p);
}

static void readable(struct conn *c)
{
    static char arena[ARENA];
    size_t have = buf_waiting(&c->in), used = 0;
    if (have)
        memcpy(arena, c->in.p + c->in.pos, have);
    ssize_t n = take(c, arena + have, READ_SIZE);
    if (n < 0) {
        ended(c, "it ended");
        return;
    }
    if (n == 0)
        return;
    batch_time = now();
    have += (size_t)n;
    while (used < have && c->state != CLOSED) {
        size_t step = c->state != CONNECTING ? use_frame(c, arena + used, have - used)
                      : c->is_server         ? use_request(c, arena + used, have - used)
                                             : use_handshake(c, arena + used, have - used);
        if (!step)
            break;
        used += step;
    }
    if (c->state == CLOSED)
        return;
    c->in.pos = c->in.len = 0;
    if (used < have)
        buf_add(&c->in, arena + used, have - used);
    if (buf_waiting(&c->out))
        mark(c);
}

/* One turn: what came in, then what is to be sent. */
static void turn(int64_t nanos)
{
    static struct epoll_event events[1024];
    struct timespec wait = {nanos / 1000000000, nanos % 1000000000};
    flush_all();
    int n = epoll_pwait2(poller, events, 1024, &wait, NULL);
    if (n < 0 && errno != EINTR)
        die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c == &listener) {
            accept_callers();
            continue;
        }
        if (c->state == CLOSED || c->stalled)
            continue;
        if (events[i].events & EPOLLOUT)
            mark(c);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            readable(c);
    }
    flush_all();
}

#define MS 1000000
#define WAIT_UNTIL(condition, what)                                                                                    \
    do {                                                                                                               \
        uint64_t limit_ = now() + (uint64_t)(opt.patience * 1e9);                                                      \
        while (!(condition)) {                                                                                         \
            turn(20 * MS);                                                                                             \
            if (now() > limit_)                                                                                        \
                die("gave up after %.0f s: %s", opt.patience, what);                                                   \
        }                                                                                                              \
    } while (0)

static void idle_for(double seconds)
{
    for (uint64_t end = now() + (uint64_t)(seconds * 1e9); now() < end;)
        turn(5 * MS);
}

/* ------------------------------------------------------------------ coming up */

static void open_impl(void)
{
    if (opt.listen) {
        listen_for_server();
        WAIT_UNTIL(impl->state == READY && introduced, "the server dials the implementation, and asks who it is");
        return;
    }
    impl->is_impl = 1;
    dial(impl, opt.impl_token, 0);
    WAIT_UNTIL(impl->state == OPEN, "the implementation's handshake");
    impl->state = READY;
    /* Whoever asks who we are is answered before the bots come; simple relays do not ask. */
    for (uint64_t end = now() + 300 * MS; !introduced && now() < end;)
        turn(5 * MS);
}

/* Bots are refused with 503 until the account is up: the first one tries until it is let in. */
static void open_bot_patiently(int index)
{
    uint64_t limit = now() + (uint64_t)(opt.patience * 1e9);
    for (;;) {
        dial_bot(index, 0);
        while (bots[index].state != READY && bots[index].state != CLOSED) {
            turn(20 * MS);
            if (now() > limit)
                die("gave up: bot %d is not let in", index);
        }
        if (bots[index].state == READY)
            return;
        idle_for(0.02);
        if (now() > limit)
            die("gave up: bot %d gets 503", index);
    }
}

static void open_bots(int from, int to)
{
    int begun = from, base = ready_count;
    uint64_t limit = now() + (uint64_t)(opt.patience * 1e9);
    if (bots_made < to)
        bots_made = to;
    while (ready_count - base < to - from) {
        while (begun < to && begun - from - (ready_count - base) < opt.concurrency)
            dial_bot(begun++, 0);
        turn(20 * MS);
        if (now() > limit)
            die("gave up: %d of %d bots are connected", ready_count, to);
    }
}

static void close_bots(int from, int to)
{
    int base = closed_count;
    for (int i = from; i < to; i++)
        hang_up(&bots[i]);
    WAIT_UNTIL(closed_count - base == to - from, "bots that close");
}

static void come_up(int count)
{
    open_impl();
    open_bot_patiently(0);
    open_bots(1, count);
    counted = (uint32_t)count;
}

/* ------------------------------------------------------------------ the modes */

static void stuck(uint64_t since)
{
    if (now() < since + (uint64_t)(opt.patience * 1e9))
        return;
    for (int i = 0; i < bots_made; i++)
        if (!bots[i].stalled && !bots[i].uncounted && bots[i].next <= complete)
            die("events are missing: bot %d has %llu of %llu", i, (unsigned long long)bots[i].next,
                (unsigned long long)sent);
    die("nothing moves");
}

/* As long as it takes until all events that were sent are with all bots. */
static void drain(void)
{
    uint64_t since = now(), last = complete;
    while (complete < sent) {
        turn(20 * MS);
        if (complete != last)
            last = complete, since = now();
        stuck(since);
    }
}

/* At most `window` events under way, for so many seconds or events. */
static void pump(int window, double seconds, uint64_t events)
{
    uint64_t end = now() + (uint64_t)(seconds * 1e9), since = now(), last = complete, limit = sent + events;
    for (;;) {
        uint64_t t = now();
        if (events ? sent >= limit : t >= end)
            return;
        while (sent - complete < (uint64_t)window && (!events || sent < limit))
            send_event(t);
        turn(20 * MS);
        if (complete != last)
            last = complete, since = t;
        else if (t - since > 1000 * MS)
            stuck(since);
    }
}

/* So many events a second, evenly; their latency counts from when they were due. */
static void pace(double rate, double seconds)
{
    uint64_t begin = now(), end = begin + (uint64_t)(seconds * 1e9), k = 0;
    for (;;) {
        uint64_t t = now(), due = begin + (uint64_t)((double)k * 1e9 / rate);
        if (t >= end)
            break;
        while (due <= t) {
            if (sent - complete >= RING - 1)
                die("the server does not keep up with %.0f events a second", rate);
            send_event(due);
            due = begin + (uint64_t)((double)++k * 1e9 / rate);
        }
        flush_all();
        t = now();
        turn(due > t ? (int64_t)(due - t) : 0);
    }
    drain();
}

static void run_fanout(void)
{
    come_up(opt.bots);
    pump(opt.window, opt.warmup, 0);
    uint64_t before = deliveries;
    struct moment a = moment();
    recording = 1;
    pump(opt.window, opt.seconds, 0);
    struct moment b = moment();
    uint64_t done = deliveries - before;
    recording = 0;
    drain();
    print_result("", (double)done, a, b);
}

static void run_calls(void)
{
    come_up(opt.attached);
    batch_time = now();
    for (int i = 0; i < opt.bots; i++)
        for (int slot = 0; slot < opt.depth; slot++)
            ask(&bots[i], slot);
    struct moment at[2];
    uint64_t count[2];
    for (int phase = 0; phase < 3; phase++) {
        double seconds = phase == 0 ? opt.warmup : phase == 1 ? opt.seconds : opt.patience;
        uint64_t end = now() + (uint64_t)(seconds * 1e9), last = calls_done;
        while (now() < end && !(phase == 2 && calls_done == calls_begun))
            turn(20 * MS);
        if (calls_done == last && calls_done < calls_begun)
            die("no response in %.1f s", seconds);
        if (phase < 2) {
            at[phase] = moment();
            count[phase] = calls_done;
        }
        recording = phase == 0;
        calls_stop = phase == 1;
    }
    if (calls_done != calls_begun)
        die("%llu responses are missing", (unsigned long long)(calls_begun - calls_done));
    print_result("", (double)(count[1] - count[0]), at[0], at[1]);
}

/* Up to so many bots (the lifecycle is part of it), then all go, and again; the going is not counted. */
static void run_handshakes(void)
{
    struct moment sum[2] = {{0}};
    double units = 0;
    come_up(1);
    open_bots(1, opt.concurrency);
    close_bots(1, opt.concurrency);
    do {
        struct moment a = moment();
        open_bots(1, opt.attached);
        struct moment b = moment();
        sum[1].wall += b.wall - a.wall;
        sum[1].own += b.own - a.own;
        sum[1].server += b.server - a.server;
        units += opt.attached - 1;
        close_bots(1, opt.attached);
        idle_for(0.05);
    } while ((double)sum[1].wall < opt.seconds * 1e9);
    print_result("", units, sum[0], sum[1]);
}

static void run_idle(void)
{
    char extra[100];
    int first = 10;
    come_up(first);
    idle_for(0.5);
    long before = server_rss();
    struct moment a = moment();
    open_bots(first, first + opt.attached);
    idle_for(1.0);
    long after = server_rss();
    snprintf(extra, sizeof extra, ", \"rss_per_bot\": %.1f", (double)(after - before) / opt.attached);
    print_result(extra, opt.attached, a, moment());
}

/* Latency at half of what one event at a time allows, without a stalled reader and with one. */
static void run_stalled(void)
{
    char extra[200];
    come_up(opt.bots);
    uint64_t before = complete, t = now();
    pump(1, 0.7, 0);
    double rate = opt.rate > 0 ? opt.rate : (double)(complete - before) / ((double)(now() - t) / 1e9) / 2;
    drain();
    pace(rate, 0.3);
    recording = 1;
    pace(rate, opt.seconds);
    recording = 0;
    double p50 = histogram_us(&latency, 0.5), p99 = histogram_us(&latency, 0.99);
    memset(&latency, 0, sizeof latency);

    /* The last bot comes again, and reads no more. */
    int last = opt.bots - 1;
    close_bots(last, last + 1);
    dial_bot(last, 8192);
    bots[last].unchecked = 1; /* at-least-once: what it had not confirmed comes again */
    WAIT_UNTIL(bots[last].state == READY, "the bot that is going to stall");
    bots[last].stalled = bots[last].may_close = 1;
    epoll_ctl(poller, EPOLL_CTL_DEL, bots[last].fd, NULL);
    counted--;
    make_event(16384); /* until every buffer on its way is full */
    pump(opt.window, 0, 700);
    drain();
    make_event((size_t)opt.size);
    pace(rate, 0.3);
    recording = 1;
    before = deliveries;
    struct moment a = moment();
    pace(rate, opt.seconds);
    struct moment b = moment();
    recording = 0;
    snprintf(extra, sizeof extra, ", \"rate\": %.0f, \"p50_without\": %.2f, \"p99_without\": %.2f", rate, p50, p99);
    print_result(extra, (double)(deliveries - before), a, b);
}

/* Latency of live bots at a given rate, perhaps with one bot more that has a token of its own. */
static void run_latency(void)
{
    come_up(opt.bots);
    if (opt.extra) {
        struct conn *c = &bots[opt.bots];
        c->index = opt.bots;
        c->uncounted = 1;
        dial(c, opt.extra_token, 0);
        bots_made = opt.bots + 1;
        WAIT_UNTIL(c->state == READY, "the other bot");
    }
    pace(opt.rate, 0.5);
    recording = 1;
    uint64_t before = deliveries;
    struct moment a = moment();
    pace(opt.rate, opt.seconds);
    struct moment b = moment();
    print_result("", (double)(deliveries - before), a, b);
}

/* A bot that was there once is away while events come, and reads them afterwards. */
static void run_replay(void)
{
    struct conn *away = &bots[1];
    open_impl();
    open_bot_patiently(0); /* a live one: what it has, the server has taken */
    counted = 1;
    away->index = 1;
    dial(away, opt.extra_token, 0);
    WAIT_UNTIL(away->state == READY, "the bot's first visit");
    int base = closed_count;
    hang_up(away);
    WAIT_UNTIL(closed_count > base, "the bot that goes away");
    idle_for(0.2);
    pump(opt.window, 0, (uint64_t)opt.backlog);
    drain();
    idle_for(1.5); /* the last commit, and cursors */
    memset(away, 0, sizeof *away);
    away->index = 1;
    away->uncounted = 1;
    struct moment a = moment();
    dial(away, opt.extra_token, 0);
    WAIT_UNTIL(away->state == READY, "the bot's return");
    uint64_t since = now(), last = 0;
    while (away->next < (uint64_t)opt.backlog) {
        turn(20 * MS);
        if (away->next != last)
            last = away->next, since = now();
        else if (now() - since > (uint64_t)(opt.patience * 1e9))
            die("events are missing: %llu of %d came", (unsigned long long)away->next, opt.backlog);
    }
    print_result("", opt.backlog, a, moment());
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } modes[] = {
        {"fanout", run_fanout}, {"calls", run_calls}, {"handshakes", run_handshakes}, {"idle", run_idle},
        {"stalled", run_stalled}, {"latency", run_latency}, {"replay", run_replay},
    };
    struct rlimit files;
    read_options(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, 15);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (opt.tls) {
#ifdef WITH_TLS
        tls_context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#else
        die("built without OpenSSL");
#endif
    }
    size_t most = (size_t)opt.attached + 16;
    bots = calloc(most, sizeof *bots);
    dirty = calloc(most + 1 + MAX_CALLERS, sizeof *dirty);
    poller = epoll_create1(EPOLL_CLOEXEC);
    make_event((size_t)opt.size);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(modes[i].name, opt.mode)) {
            modes[i].run();
            fflush(stdout);
            return 0;
        }
    die("unknown mode %s", opt.mode);
}
