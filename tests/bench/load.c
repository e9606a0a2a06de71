/* load.c - load generator for LLM gateways (HTTP/1.1, one thread, epoll). Prints one line of JSON.
 *
 *   load -p PORT [-h 127.0.0.1] [-u /v1/chat/completions] [-k KEY] [-K x-api-key] [-m MODEL]
 *        [-c CONNS] [-t SECONDS] [-w WARMUP_SECONDS] [-r REQUESTS_PER_SECOND] [-R RAMP_SECONDS]
 *        [-s]  stream   [-A] Anthropic Messages body   [-H 'name: value'] extra header (repeatable)
 *        [-b 'n=10,d=0,s=20']  what the mock shall answer   [-x BYTES] padding of the prompt
 *        [-N MAX_REQUESTS]
 *
 * Without -r every connection sends its next request when the last one is answered (closed loop).
 * With -r requests are due at a fixed rate and timed from when they were due (open loop).
 * When the warm-up is over it prints the line "warm", so that whoever started it can take a reading
 * of the gateway's CPU time then. Only what ends after the warm-up is counted. "chunk" is the delay from the mock's send of a text
 * chunk to its arrival here (mock and load must run on one machine: they share CLOCK_MONOTONIC).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NB 2400
typedef struct { uint64_t n, b[NB], max; double sum; } hist; /* 1 us .. , 1% wide buckets */
static void hadd(hist *h, uint64_t ns) { double us = ns / 1000.0; int i = us <= 1 ? 0 : (int)(log(us) * 100.0); if (i >= NB) i = NB - 1; h->b[i]++; h->n++; h->sum += us; if (ns > h->max) h->max = ns; }
static double hq(hist *h, double q) { uint64_t k = (uint64_t)(q * h->n), s = 0; for (int i = 0; i < NB; i++) { s += h->b[i]; if (s > k) return exp((i + 0.5) / 100.0) / 1000.0; } return h->max / 1e6; }
static void hprint(const char *nm, hist *h) {
    if (!h->n) return;
    printf(",\"%s_ms\":{\"n\":%llu,\"mean\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}", nm, (unsigned long long)h->n, h->sum / h->n / 1000, hq(h, .5), hq(h, .9), hq(h, .99), h->max / 1e6);
}
enum { C_CONN, C_IDLE, C_BUSY };
typedef struct { int fd, st, hdr, chunked, close_, cs, first, mk, status, live; long left; char hb[16384]; int hl; uint64_t t0, mkv; size_t off; int marks; } conn;

static hist H_total, H_ttfb, H_first, H_chunk;
static uint64_t n_ok, n_err, n_status, n_chunks, n_bytes, n_reconn, n_short, n_nomark;
static int first_status; static char errbody[400];
static char *req; static size_t reqlen; static int ep, stream; static uint64_t tw, tend; static struct sockaddr_in addr;
static uint64_t *due; static int dueh, duen, duecap; static long sent_reqs, max_reqs = -1; static double rate;
static uint64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static int n_busy, peak_busy;

static void ctl(conn *c, int op, uint32_t e) { struct epoll_event ev = {e, {c}}; epoll_ctl(ep, op, c->fd, &ev); }
static int dial(conn *c) {
    int one = 1; c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); if (c->fd < 0) { perror("socket"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); c->st = C_CONN; c->live = 1;
    if (connect(c->fd, (void *)&addr, sizeof addr) && errno != EINPROGRESS) { close(c->fd); c->live = 0; return -1; }
    ctl(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT); return 0;
}
static char *serial; static unsigned long long serial0; /* where each request has its own number, if it has one */
static void start(conn *c, uint64_t t0) {
    c->t0 = t0; c->hdr = 1; c->hl = 0; c->off = 0; c->chunked = 0; c->close_ = 0; c->left = -1; c->cs = 0; c->first = 0; c->mk = 0; c->marks = 0; c->status = 0; c->st = C_BUSY; sent_reqs++;
    if (serial) for (unsigned long long n = serial0 + sent_reqs, i = 0; i < 8; i++, n /= 10) serial[7 - i] = '0' + n % 10;
    if (++n_busy > peak_busy) peak_busy = n_busy;
    ssize_t r = send(c->fd, req, reqlen, MSG_NOSIGNAL); c->off = r > 0 ? r : 0;
    if (c->off < reqlen) ctl(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT); else ctl(c, EPOLL_CTL_MOD, EPOLLIN);
}
static void next(conn *c) {
    uint64_t t = now_ns();
    if (c->st == C_BUSY) n_busy--;
    c->st = C_IDLE;
    if (t >= tend || (max_reqs >= 0 && sent_reqs >= max_reqs)) { ctl(c, EPOLL_CTL_MOD, 0); return; }
    if (rate > 0) { if (duen) { uint64_t d = due[dueh++]; duen--; start(c, d); } else ctl(c, EPOLL_CTL_MOD, EPOLLIN); }
    else start(c, t);
}
static void fail(conn *c) { if (c->st == C_BUSY) { n_busy--; n_err++; } close(c->fd); c->live = 0; c->st = C_CONN; if (now_ns() < tend && n_err < 20000) { n_reconn++; dial(c); } }
static void done(conn *c) {
    uint64_t t = now_ns();
    if (c->status != 200) { n_status++; if (!first_status) first_status = c->status; }
    else if (t >= tw) { n_ok++; hadd(&H_total, t - c->t0); if (!c->marks) n_nomark++; }
    if (c->close_) { if (c->st == C_BUSY) n_busy--; c->st = C_CONN; close(c->fd); c->live = 0; n_reconn++; if (t < tend) dial(c); return; }
    next(c);
}
static void scan(conn *c, const char *p, size_t n, uint64_t t) { /* look for @T<16 digits>@ */
    for (size_t i = 0; i < n; i++) {
        char ch = p[i];
        if (c->mk == 0) { const char *q = memchr(p + i, '@', n - i); if (!q) return; i = q - p; c->mk = 1; }
        else if (c->mk == 1) c->mk = ch == 'T' ? (c->mkv = 0, 2) : 0;
        else if (c->mk < 18) { if (ch >= '0' && ch <= '9') { c->mkv = c->mkv * 10 + (ch - '0'); c->mk++; } else c->mk = 0; }
        else { c->mk = 0; if (ch == '@') { if (!c->marks++ && t >= tw) hadd(&H_first, t - c->t0); if (t >= tw) { n_chunks++; uint64_t s = c->mkv * 100; hadd(&H_chunk, t > s ? t - s : 0); } } }
    }
}
static void body(conn *c, char *p, size_t n, uint64_t t) { /* c may be restarted by done(): return at once after it */
    if (!c->first && n) { c->first = 1; if (t >= tw) hadd(&H_ttfb, t - c->t0); }
    if (c->status != 200 && !errbody[0]) snprintf(errbody, sizeof errbody, "%.*s", (int)n, p);
    if (!c->chunked) { scan(c, p, n, t); if (c->left >= 0 && (c->left -= n) <= 0) done(c); return; }
    while (n) {
        switch (c->cs) {
        case 0: /* size */ { char ch = *p++; n--; if (c->left < 0) c->left = 0; if (ch == '\n') { c->cs = c->left ? 1 : 3; } else if (ch == '\r') {} else if (ch == ';') { c->cs = 5; } else { int v = ch <= '9' ? ch - '0' : (ch | 32) - 'a' + 10; c->left = c->left * 16 + v; } break; }
        case 5: { char ch = *p++; n--; if (ch == '\n') c->cs = c->left ? 1 : 3; break; }
        case 1: { size_t k = n < (size_t)c->left ? n : (size_t)c->left; scan(c, p, k, t); p += k; n -= k; c->left -= k; if (!c->left) c->cs = 2; break; }
        case 2: { char ch = *p++; n--; if (ch == '\n') { c->cs = 0; c->left = 0; } break; }
        case 3: { char ch = *p++; n--; if (ch == '\n') { done(c); return; } if (ch != '\r') c->cs = 4; break; } /* end or trailer */
        case 4: { char ch = *p++; n--; if (ch == '\n') c->cs = 3; break; }
        }
    }
}
static void onread(conn *c) {
    static char buf[262144];
    ssize_t r = recv(c->fd, buf, sizeof buf, 0); uint64_t t = now_ns();
    if (r < 0) { if (errno == EAGAIN) return; fail(c); return; }
    if (r == 0) { if (c->st == C_BUSY && !c->hdr && !c->chunked && c->left < 0) { c->close_ = 1; done(c); } else { if (c->st == C_BUSY) n_short++; fail(c); } return; }
    n_bytes += r;
    if (c->st != C_BUSY) return;
    char *p = buf; size_t n = r;
    if (c->hdr) {
        size_t k = n; if (c->hl + k > sizeof c->hb - 1) k = sizeof c->hb - 1 - c->hl;
        memcpy(c->hb + c->hl, p, k); int old = c->hl; c->hl += k; c->hb[c->hl] = 0;
        char *e = memmem(c->hb, c->hl, "\r\n\r\n", 4); if (!e) { if (c->hl >= (int)sizeof c->hb - 1) fail(c); return; }
        size_t used = e + 4 - c->hb - old; p += used; n -= used; e[2] = 0;
        c->hdr = 0; c->status = atoi(c->hb + 9); char *x;
        if ((x = strcasestr(c->hb, "\r\ncontent-length:"))) c->left = atol(x + 17);
        if (strcasestr(c->hb, "\r\ntransfer-encoding: chunked") || strcasestr(c->hb, "\r\ntransfer-encoding:chunked")) { c->chunked = 1; c->left = -1; }
        if (strcasestr(c->hb, "\r\nconnection: close")) c->close_ = 1;
        if (!c->chunked && c->left == 0) { done(c); return; }
    }
    if (n) body(c, p, n, t);
}
int main(int argc, char **argv) {
    int o, port = 25001, C = 1, anth = 0, unique = 0, xpad = 0; double secs = 5, warm = 1, ramp = 0; const char *host = "127.0.0.1", *path = NULL, *key = "sk-bench", *keyhdr = NULL, *model = "mock", *bench = "n=10,d=0,s=20"; char extra[4096] = "";
    while ((o = getopt(argc, argv, "p:h:u:k:K:m:c:t:w:r:R:sAUH:b:x:N:")) != -1) switch (o) {
        case 'p': port = atoi(optarg); break; case 'h': host = optarg; break; case 'u': path = optarg; break; case 'k': key = optarg; break; case 'K': keyhdr = optarg; break; case 'm': model = optarg; break;
        case 'c': C = atoi(optarg); break; case 't': secs = atof(optarg); break; case 'w': warm = atof(optarg); break; case 'r': rate = atof(optarg); break; case 'R': ramp = atof(optarg); break;
        case 's': stream = 1; break; case 'A': anth = 1; break; case 'U': unique = 1; break; case 'H': strncat(extra, optarg, 1000); strcat(extra, "\r\n"); break; case 'b': bench = optarg; break; case 'x': xpad = atoi(optarg); break; case 'N': max_reqs = atol(optarg); break;
        default: return 2; }
    signal(SIGPIPE, SIG_IGN); struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
    if (!path) path = anth ? "/v1/messages" : "/v1/chat/completions";
    char *pad = malloc(xpad + 1); for (int i = 0; i < xpad; i++) pad[i] = i % 6 == 5 ? ' ' : 'a' + i % 26; pad[xpad] = 0;
    char *bd = malloc(xpad + 2048); int bl = sprintf(bd, "{\"model\":\"%s\",%s%s\"messages\":[{\"role\":\"user\",\"content\":\"bench:%s %s%s\"}]}", model, anth ? "\"max_tokens\":1024," : "", stream ? anth ? "\"stream\":true," : "\"stream\":true,\"stream_options\":{\"include_usage\":true}," : "", bench, pad, unique ? " #00000000" : "");
    req = malloc(bl + 8192); char kh[600]; if (keyhdr) snprintf(kh, sizeof kh, "%s: %s\r\n", keyhdr, key); else snprintf(kh, sizeof kh, "authorization: Bearer %s\r\n", key);
    reqlen = sprintf(req, "POST %s HTTP/1.1\r\nhost: %s:%d\r\n%s%scontent-type: application/json\r\naccept: */*\r\n%scontent-length: %d\r\n\r\n%s", path, host, port, kh, anth ? "anthropic-version: 2023-06-01\r\n" : "", extra, bl, bd);
    if (unique) { serial = strstr(req, " #00000000\"") + 2; serial0 = (now_ns() / 1000000) % 100000000; }
    addr.sin_family = AF_INET; addr.sin_port = htons(port); inet_pton(AF_INET, host, &addr.sin_addr);
    ep = epoll_create1(0); conn *cs = calloc(C, sizeof *cs); due = malloc(sizeof *due * (duecap = 1 << 22));
    uint64_t t0 = now_ns(); tw = t0 + (uint64_t)(warm * 1e9); tend = tw + (uint64_t)(secs * 1e9); uint64_t hard = tend + 5000000000ull; int dialed = 0; double nextdue = t0;
    struct epoll_event evs[512]; uint64_t t; int told = 0;
    while ((t = now_ns()) < hard) {
        if (!told && t >= tw) { told = 1; puts("warm"); fflush(stdout); }
        int want = ramp > 0 ? (int)(C * ((t - t0) / 1e9 / ramp)) + 1 : C; if (want > C) want = C;
        for (int k = 0; dialed < want && k < 200; k++) dial(&cs[dialed++]);
        if (rate > 0 && t < tend) while (nextdue <= t && dueh + duen < duecap) {
            conn *f = NULL; static int rr; for (int i = 0; i < dialed; i++) { conn *c = &cs[(rr + i) % dialed]; if (c->live && c->st == C_IDLE) { f = c; rr = (rr + i + 1) % dialed; break; } }
            if (f && !duen) start(f, (uint64_t)nextdue); else { due[dueh + duen] = (uint64_t)nextdue; duen++; }
            nextdue += 1e9 / rate;
        }
        if (t >= tend && (!n_busy || !stream)) break;
        if (t >= tend + 1000000000ull) break;
        if (max_reqs >= 0 && sent_reqs >= max_reqs && !n_busy && dialed == C) break;
        struct timespec ts = {0, rate > 0 ? 200000 : dialed < C ? 1000000 : 50000000};
        int n = epoll_pwait2(ep, evs, 512, &ts, NULL);
        for (int i = 0; i < n; i++) {
            conn *c = evs[i].data.ptr;
            if (!c->live) continue;
            if (c->st == C_CONN) { if (evs[i].events & (EPOLLERR | EPOLLHUP)) { n_err++; fail(c); continue; } if (evs[i].events & EPOLLOUT) next(c); continue; }
            if ((evs[i].events & EPOLLOUT) && c->st == C_BUSY && c->off < reqlen) { ssize_t r = send(c->fd, req + c->off, reqlen - c->off, MSG_NOSIGNAL); if (r > 0) c->off += r; if (c->off >= reqlen) ctl(c, EPOLL_CTL_MOD, EPOLLIN); }
            if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) onread(c);
        }
    }
    double el = (now_ns() - tw) / 1e9; if (el > secs && !stream) el = secs;
    printf("{\"conns\":%d,\"secs\":%.2f,\"ok\":%llu,\"rps\":%.1f,\"chunks\":%llu,\"chunks_s\":%.0f,\"err\":%llu,\"bad_status\":%llu,\"first_bad\":%d,\"unfinished\":%d,\"peak_open\":%d,\"mb\":%.1f,\"no_mark\":%llu", C, el, (unsigned long long)n_ok, n_ok / el, (unsigned long long)n_chunks, n_chunks / el, (unsigned long long)n_err, (unsigned long long)n_status, first_status, n_busy, peak_busy, n_bytes / 1e6, (unsigned long long)n_nomark);
    hprint("total", &H_total); hprint("ttfb", &H_ttfb); if (stream) { hprint("first", &H_first); hprint("chunk", &H_chunk); }
    if (errbody[0]) { printf(",\"errbody\":\""); for (char *p = errbody; *p; p++) if (*p == '"' || *p == '\\') printf("\\%c", *p); else if ((unsigned char)*p >= 32) putchar(*p); putchar('"'); }
    printf("}\n"); return 0;
}
