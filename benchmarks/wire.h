/* What the load generator and the epoll peer share: growing buffers, RFC 6455 frames, the top level of JSON. */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OP_CONT = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* ------------------------------------------------------------------ growing buffers */

struct buf {
    char *p;
    size_t pos, len, cap; /* what waits is p[pos..len) */
};

static inline char *buf_room(struct buf *b, size_t n)
{
    if (b->pos == b->len)
        b->pos = b->len = 0;
    if (b->len + n > b->cap) {
        if (b->pos) {
            memmove(b->p, b->p + b->pos, b->len - b->pos);
            b->len -= b->pos;
            b->pos = 0;
        }
        if (b->len + n > b->cap) {
            size_t cap = b->cap ? b->cap : 256;
            while (cap < b->len + n)
                cap *= 2;
            b->p = realloc(b->p, cap);
            if (!b->p) {
                fprintf(stderr, "out of memory\n");
                exit(1);
            }
            b->cap = cap;
        }
    }
    return b->p + b->len;
}

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
    memcpy(buf_room(b, n), p, n);
    b->len += n;
}

static inline size_t buf_waiting(const struct buf *b) { return b->len - b->pos; }

static inline void buf_free(struct buf *b)
{
    free(b->p);
    memset(b, 0, sizeof *b);
}

/* ------------------------------------------------------------------ frames */

struct frame {
    int fin, op, masked;
    uint8_t key[4];
    size_t head, len;
};

/* 1: there is a head (its payload may still be coming); 0: more bytes are needed; -1: a breach. */
static inline int frame_head(const char *bytes, size_t n, struct frame *f)
{
    const uint8_t *p = (const uint8_t *)bytes;
    if (n < 2)
        return 0;
    if (p[0] & 0x70)
        return -1;
    f->fin = p[0] >> 7;
    f->op = p[0] & 15;
    f->masked = p[1] >> 7;
    f->len = p[1] & 127;
    f->head = 2;
    if (f->len == 126) {
        if (n < 4)
            return 0;
        f->len = (size_t)p[2] << 8 | p[3];
        f->head = 4;
    } else if (f->len == 127) {
        if (n < 10)
            return 0;
        f->len = 0;
        for (int i = 2; i < 10; i++)
            f->len = f->len << 8 | p[i];
        f->head = 10;
    }
    if (f->op >= OP_CLOSE && (f->len > 125 || !f->fin))
        return -1;
    if (f->masked) {
        if (n < f->head + 4)
            return 0;
        memcpy(f->key, p + f->head, 4);
        f->head += 4;
    }
    return 1;
}

/* XORs n bytes from `from` into `to` (which may be the same). */
static inline void frame_mask(char *to, const char *from, size_t n, const uint8_t key[4])
{
    uint32_t k32;
    memcpy(&k32, key, 4);
    uint64_t k = (uint64_t)k32 << 32 | k32, w;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&w, from + i, 8);
        w ^= k;
        memcpy(to + i, &w, 8);
    }
    for (; i < n; i++)
        to[i] = (char)(from[i] ^ (char)key[i & 3]);
}

/* Appends a whole frame; masked if key is given. */
static inline void frame_add(struct buf *b, int op, const char *p, size_t n, const uint8_t *key)
{
    uint8_t *h = (uint8_t *)buf_room(b, n + 14);
    size_t at = 0;
    uint8_t mask = key ? 0x80 : 0;
    h[at++] = (uint8_t)(0x80 | op);
    if (n < 126) {
        h[at++] = (uint8_t)(mask | n);
    } else if (n < 65536) {
        h[at++] = mask | 126;
        h[at++] = (uint8_t)(n >> 8);
        h[at++] = (uint8_t)n;
    } else {
        h[at++] = mask | 127;
        for (int i = 7; i >= 0; i--)
            h[at++] = (uint8_t)((uint64_t)n >> (8 * i));
    }
    if (key) {
        memcpy(h + at, key, 4);
        at += 4;
        frame_mask((char *)h + at, p, n, key);
    } else {
        memcpy(h + at, p, n);
    }
    b->len += at + n;
}

/* ------------------------------------------------------------------ JSON, its top level */

struct span {
    const char *p;
    size_t n;
};

/* From the opening quote to behind the closing one; NULL if there is none. */
static inline const char *json_string_end(const char *p, const char *end)
{
    for (const char *q = p + 1; (q = memchr(q, '"', (size_t)(end - q))); q++) {
        const char *r = q;
        while (r[-1] == '\\' && r - 1 > p)
            r--;
        if (((q - r) & 1) == 0)
            return q + 1;
    }
    return NULL;
}

static inline const char *json_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static inline const char *json_value_end(const char *p, const char *end)
{
    int depth = 0;
    while (p < end) {
        switch (*p) {
        case '"':
            p = json_string_end(p, end);
            if (!p)
                return NULL;
            if (!depth)
                return p;
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (!depth)
                return p;
            if (!--depth)
                return p + 1;
            break;
        case ',':
            if (!depth)
                return p;
        }
        p++;
    }
    return depth ? NULL : p;
}

/* Finds the raw values of top-level members; the last of duplicate keys counts. 0, or -1 if it is no object. */
static inline int json_members(const char *s, size_t n, int count, const char *const keys[], struct span found[])
{
    const char *p = s, *end = s + n;
    for (int i = 0; i < count; i++)
        found[i].p = NULL, found[i].n = 0;
    p = json_space(p, end);
    if (p == end || *p++ != '{')
        return -1;
    for (;;) {
        p = json_space(p, end);
        if (p == end)
            return -1;
        if (*p == '}')
            return json_space(p + 1, end) == end ? 0 : -1;
        if (*p == ',') {
            p++;
            continue;
        }
        if (*p != '"')
            return -1;
        const char *key = p + 1;
        p = json_string_end(p, end);
        if (!p)
            return -1;
        size_t key_len = (size_t)(p - 1 - key);
        p = json_space(p, end);
        if (p == end || *p++ != ':')
            return -1;
        p = json_space(p, end);
        const char *value = p;
        p = json_value_end(p, end);
        if (!p || p == value)
            return -1;
        for (int i = 0; i < count; i++)
            if (strlen(keys[i]) == key_len && !memcmp(keys[i], key, key_len)) {
                const char *last = p;
                while (last > value && (last[-1] == ' ' || last[-1] == '\n' || last[-1] == '\r' || last[-1] == '\t'))
                    last--;
                found[i].p = value;
                found[i].n = (size_t)(last - value);
            }
    }
}

static inline int span_is(struct span s, const char *text)
{
    return s.p && strlen(text) == s.n && !memcmp(s.p, text, s.n);
}

#endif
