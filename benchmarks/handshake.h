/* The server's side of an opening handshake (RFC 6455): headers, SHA-1 and base64. For the load generator and the
 * epoll peer. */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <strings.h>

#include "wire.h"

/* The value of a header; n is 0 if there is none. */
static inline struct span header(const char *p, const char *end, const char *name)
{
    size_t length = strlen(name);
    while ((p = memmem(p, (size_t)(end - p), "\r\n", 2))) {
        p += 2;
        if ((size_t)(end - p) > length && p[length] == ':' && !strncasecmp(p, name, length)) {
            const char *value = p + length + 1, *stop = memmem(value, (size_t)(end - value), "\r\n", 2);
            while (*value == ' ')
                value++;
            return (struct span){value, (size_t)((stop ? stop : end) - value)};
        }
    }
    return (struct span){NULL, 0};
}

/* ------------------------------------------------------------------ SHA-1 and base64, for the handshake */

static inline uint32_t rol(uint32_t v, int n) { return v << n | v >> (32 - n); }

static inline void sha1(const uint8_t *text, size_t n, uint8_t digest[20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, w[80];
    uint8_t block[192] = {0};
    size_t blocks = (n + 9 + 63) / 64;
    memcpy(block, text, n);
    block[n] = 0x80;
    for (int i = 0; i < 8; i++)
        block[blocks * 64 - 1 - (size_t)i] = (uint8_t)((uint64_t)n * 8 >> (8 * i));
    for (size_t b = 0; b < blocks; b++) {
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)block[b * 64 + i * 4] << 24 | (uint32_t)block[b * 64 + i * 4 + 1] << 16 |
                   (uint32_t)block[b * 64 + i * 4 + 2] << 8 | block[b * 64 + i * 4 + 3];
        for (int i = 16; i < 80; i++)
            w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], c1 = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? ((c1 & c) | (~c1 & d)) + 0x5a827999
                       : i < 40 ? (c1 ^ c ^ d) + 0x6ed9eba1
                       : i < 60 ? ((c1 & c) | (c1 & d) | (c & d)) + 0x8f1bbcdc
                                : (c1 ^ c ^ d) + 0xca62c1d6;
            uint32_t t = rol(a, 5) + f + e + w[i];
            e = d, d = c, c = rol(c1, 30), c1 = a, a = t;
        }
        h[0] += a, h[1] += c1, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static inline void accept_value(const char *key, size_t n, char out[29])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t text[128], d[21] = {0};
    memcpy(text, key, n);
    memcpy(text + n, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(text, n + 36, d);
    for (int i = 0, o = 0; i < 21; i += 3) {
        uint32_t v = (uint32_t)d[i] << 16 | (uint32_t)d[i + 1] << 8 | d[i + 2];
        for (int k = 18; k >= 0; k -= 6)
            out[o++] = digits[v >> k & 63];
    }
    out[27] = '=';
    out[28] = 0;
}

#endif
