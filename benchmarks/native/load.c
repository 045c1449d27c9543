/* Clients of streamed completions: one thread, epoll, HTTP/1.1 with keep-alive.
 *
 *   load --port 8000 --request FILE --streams 100 --tokens 200 [--requests 100 | --seconds 5] ...
 *
 * --request FILE    the bytes of one whole request, sent as they are
 * --streams N       connections at once
 * --tokens N        what each answer must hold; what is missing counts as lost
 * --requests N      how many in all; --seconds S: as many as fit, each connection asking again and again
 * --ramp_us U       from the start of one connection to the next
 * --pause_us U      from the end of an answer to the connection's next request
 * --window_ms W     measure gaps apart for so long, from when every stream has its first token
 * --hold N          a stream is ready after N tokens; when all are, say so and keep them until standard input closes
 * --opening N       with --hold: streams not yet ready at once
 * --limit_s S       give up
 *
 * Prints lines of JSON: {"mark": "open"} when every stream has its first token (with --hold: is ready), {"mark":
 * "window"} when the window has passed or the first stream is over, {"mark": "end"} with everything counted. A token
 * is known by its mark, "@" and twelve digits (see upstream.c), however events were cut, batched or merged. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024, HEAD_BYTES = 8192, EVENTS = 1024, GAP_SLOT_NS = 10000, GAP_SLOTS = 1000000, END_BYTES = 200 };
enum state { IDLE, CONNECTING, HEADERS, BODY };
enum { SIZE_LINE, CHUNK, CHUNK_END, TRAILER };

struct stream {
  int fd;
  enum state state;
  int connection_uses;
  int64_t asked_ns, first_ns, last_ns, again_ns; /* again_ns: when a paused connection asks again */
  int sent;
  char *head; /* response headers until they are whole */
  int head_length, status, chunked, close_after;
  long content_left; /* without chunks; -1: until the peer closes */
  int chunk_state, size_line_digits_over;
  long chunk_left;
  char end[END_BYTES]; /* the last bytes of the body */
  int end_length;
  int digits; /* of the mark being read; 0: none */
  long mark_value, number, highest, distinct;
  uint8_t *seen;
  int was_ready;
};

struct gaps {
  uint32_t slots[GAP_SLOTS];
  int64_t count, longest_ns;
};

static long port, stream_count = 1, requests, tokens = 1, ramp_us, pause_us, window_ms, hold, opening = 16, limit_s = 120;
static double seconds;
static struct stream *all;
static struct gaps every_gap, window_gap;
static char *request;
static int request_length, epoll_fd, in_window, window_over, closing;
static long issued, finished, good, not_ready, started;
static long failed_connect, failed_status, failed_cut, failed_done, failed_time, reconnects;
static long lost, repeated, reordered, strange, first_status;
static int64_t token_total, read_total, body_bytes, window_ns;
static int64_t *first_token_ns;
static long first_token_count, first_token_room;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* --- figures */

static void add_gap(struct gaps *gaps, int64_t ns) {
  int64_t slot = ns / GAP_SLOT_NS;
  gaps->slots[slot < GAP_SLOTS ? slot : GAP_SLOTS - 1]++;
  gaps->count++;
  if (ns > gaps->longest_ns) gaps->longest_ns = ns;
}

static double gap_ms(const struct gaps *gaps, double share) {
  int64_t rank = share * gaps->count, so_far = 0;
  for (int i = 0; i < GAP_SLOTS; i++)
    if ((so_far += gaps->slots[i]) > rank) return i == GAP_SLOTS - 1 ? gaps->longest_ns / 1e6 : (i + 0.5) * GAP_SLOT_NS / 1e6;
  return 0;
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static double first_token_ms(double share) {
  if (!first_token_count) return 0;
  long rank = share * first_token_count;
  return first_token_ns[rank < first_token_count ? rank : first_token_count - 1] / 1e6;
}

static void mark(const char *name) {
  printf("{\"mark\": \"%s\", \"tokens\": %ld, \"finished\": %ld, \"at_ns\": %ld}\n", name, token_total, finished, now_ns());
  fflush(stdout);
}

static void print_gaps(const char *name, const struct gaps *gaps) {
  printf("\"%s\": {\"count\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f}, ", name, gaps->count,
         gap_ms(gaps, 0.5), gap_ms(gaps, 0.99), gap_ms(gaps, 0.999), gaps->longest_ns / 1e6);
}

/* --- the window */

static void opened(void) {
  mark("open");
  if (window_ms) {
    in_window = 1;
    window_ns = now_ns() + window_ms * 1000000;
  }
}

static void close_window(void) {
  if (!in_window || window_over) return;
  in_window = 0;
  window_over = 1;
  mark("window");
}

static void now_ready(struct stream *s) {
  if (s->was_ready) return;
  s->was_ready = 1;
  if (--not_ready == 0 && started == stream_count) opened();
}

/* --- connections */

static void watch(struct stream *s, int events, int how) {
  struct epoll_event event = {.events = events, .data.ptr = s};
  epoll_ctl(epoll_fd, how, s->fd, &event);
}

static void hang_up(struct stream *s) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
  s->state = IDLE;
  s->connection_uses = 0;
}

static int dial(struct stream *s) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (s->fd < 0) return 0;
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(s->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) return 0;
  s->state = CONNECTING;
  s->sent = 0;
  watch(s, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
  return 1;
}

static void send_request(struct stream *s) {
  ssize_t sent = send(s->fd, request + s->sent, request_length - s->sent, MSG_NOSIGNAL);
  if (sent > 0) s->sent += sent;
  if (s->state == CONNECTING) watch(s, EPOLLIN, EPOLL_CTL_MOD);
  s->state = HEADERS;
  if (s->sent < request_length) watch(s, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static int may_issue(int64_t now, int64_t start_ns) {
  return !closing && (requests ? issued < requests : now - start_ns < seconds * 1e9);
}

static void fail_unanswered(struct stream *s) {
  failed_connect++;
  finished++;
  hang_up(s);
  now_ready(s);
}

static void ask(struct stream *s) {
  issued++;
  s->asked_ns = now_ns();
  s->again_ns = s->first_ns = s->last_ns = 0;
  s->head_length = s->status = s->chunked = s->close_after = 0;
  s->content_left = -1;
  s->chunk_state = SIZE_LINE;
  s->chunk_left = s->size_line_digits_over = s->end_length = s->digits = 0;
  s->number = s->highest = -1;
  s->distinct = 0;
  s->sent = 0;
  memset(s->seen, 0, tokens / 8 + 1);
  if (s->fd >= 0)
    send_request(s);
  else if (!dial(s))
    fail_unanswered(s);
}

static void over(struct stream *s, int cut) {
  int64_t now = now_ns();
  close_window();
  finished++;
  s->connection_uses++;
  if (s->status != 200) {
    failed_status++;
    if (!first_status) {
      first_status = s->status;
      fprintf(stderr, "status %d: %.*s\n", s->status, s->end_length, s->end);
    }
  } else if (cut) {
    failed_cut++;
  } else if (!memmem(s->end, s->end_length, "[DONE]", 6)) {
    failed_done++;
  } else {
    good++;
  }
  if (s->status == 200) lost += tokens - s->distinct;
  if (cut || s->close_after) hang_up(s);
  s->state = IDLE;
  s->again_ns = now + pause_us * 1000;
  now_ready(s);
}

/* --- what comes back */

static void token(struct stream *s, int64_t now) {
  long number = s->mark_value / 1000000, index = s->mark_value % 1000000;
  token_total++;
  if (s->number < 0) s->number = number;
  if (number != s->number || index >= tokens) {
    strange++;
    return;
  }
  if (s->seen[index / 8] & 1 << index % 8) {
    repeated++;
    return;
  }
  if (index < s->highest) reordered++;
  s->seen[index / 8] |= 1 << index % 8;
  s->distinct++;
  if (index > s->highest) s->highest = index;
  if (!s->first_ns) {
    s->first_ns = now;
    if (first_token_count == first_token_room) {
      first_token_room = first_token_room ? 2 * first_token_room : 4096;
      first_token_ns = realloc(first_token_ns, first_token_room * sizeof *first_token_ns);
    }
    first_token_ns[first_token_count++] = now - s->asked_ns;
  } else {
    add_gap(&every_gap, now - s->last_ns);
    if (in_window) add_gap(&window_gap, now - s->last_ns);
  }
  s->last_ns = now;
  if (s->distinct >= (hold ? hold : 1)) now_ready(s);
}

static void payload(struct stream *s, const char *data, long length, int64_t now) {
  body_bytes += length;
  if (length >= END_BYTES) {
    memcpy(s->end, data + length - END_BYTES, END_BYTES);
    s->end_length = END_BYTES;
  } else {
    int kept = s->end_length + length > END_BYTES ? END_BYTES - length : s->end_length;
    memmove(s->end, s->end + s->end_length - kept, kept);
    memcpy(s->end + kept, data, length);
    s->end_length = kept + length;
  }
  for (const char *p = data, *stop = data + length; p < stop;) {
    if (!s->digits) {
      p = memchr(p, '@', stop - p);
      if (!p) return;
      p++;
      s->digits = 1;
      s->mark_value = 0;
      continue;
    }
    if (*p < '0' || *p > '9') {
      strange++;
      s->digits = 0;
      continue;
    }
    s->mark_value = s->mark_value * 10 + (*p++ - '0');
    if (++s->digits > 12) {
      s->digits = 0;
      token(s, now);
    }
  }
}

/* Returns 1 when the body is whole. */
static int body(struct stream *s, const char *p, long length, int64_t now) {
  if (!s->chunked) {
    payload(s, p, length, now);
    if (s->content_left >= 0) s->content_left -= length;
    return s->content_left == 0;
  }
  for (const char *stop = p + length; p < stop;) {
    if (s->chunk_state == CHUNK) {
      long part = stop - p < s->chunk_left ? stop - p : s->chunk_left;
      payload(s, p, part, now);
      p += part;
      if (!(s->chunk_left -= part)) s->chunk_state = CHUNK_END;
      continue;
    }
    char c = *p++;
    if (s->chunk_state == CHUNK_END) {
      if (c == '\n') s->chunk_state = SIZE_LINE, s->chunk_left = 0, s->size_line_digits_over = 0;
    } else if (s->chunk_state == TRAILER) {
      if (c == '\n') return 1;
    } else if (c == '\n') {
      s->chunk_state = s->chunk_left ? CHUNK : TRAILER;
    } else if (!s->size_line_digits_over) {
      int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
      if (digit < 0)
        s->size_line_digits_over = 1;
      else
        s->chunk_left = s->chunk_left * 16 + digit;
    }
  }
  return 0;
}

/* Returns how many bytes belong to the headers, 0 if they are not whole yet. */
static long headers(struct stream *s, const char *data, long length) {
  int before = s->head_length, part = length < HEAD_BYTES - before ? length : HEAD_BYTES - before;
  memcpy(s->head + before, data, part);
  s->head_length += part;
  s->head[s->head_length] = 0;
  char *found, *end = strstr(s->head, "\r\n\r\n");
  if (!end) return 0;
  end[2] = 0;
  s->status = atoi(s->head + 9);
  s->chunked = strcasestr(s->head, "\r\ntransfer-encoding: chunked") != NULL;
  if ((found = strcasestr(s->head, "\r\ncontent-length:"))) s->content_left = atol(found + 17);
  s->close_after = strcasestr(s->head, "\r\nconnection: close") != NULL;
  s->state = BODY;
  return end + 4 - s->head - before;
}

static void peer_closed(struct stream *s) {
  if (s->state == IDLE) {
    hang_up(s);
  } else if (s->state == HEADERS && !s->head_length && s->connection_uses) {
    /* A connection that was kept alive and closed before it saw this request. */
    reconnects++;
    hang_up(s);
    if (!dial(s)) fail_unanswered(s);
  } else if (s->state < BODY) {
    fail_unanswered(s);
  } else {
    over(s, s->chunked || s->content_left > 0);
    hang_up(s);
  }
}

static void readable(struct stream *s) {
  static char buffer[READ_BYTES];
  ssize_t got = recv(s->fd, buffer, sizeof buffer, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    peer_closed(s);
    return;
  }
  int64_t now = now_ns();
  long used = 0;
  read_total++;
  if (s->state == HEADERS && !(used = headers(s, buffer, got))) return;
  if (s->state == BODY && (s->content_left == 0 || (got > used && body(s, buffer + used, got - used, now)))) over(s, 0);
}

static void ready(struct stream *s, uint32_t events) {
  if (s->fd < 0) return;
  if (s->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
      fail_unanswered(s);
    else
      send_request(s);
    return;
  }
  if (events & EPOLLOUT && s->sent < request_length) {
    send_request(s);
    if (s->sent == request_length) watch(s, EPOLLIN, EPOLL_CTL_MOD);
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(s);
}

/* --- the run */

static void read_arguments(int count, char **arguments) {
  struct { const char *name; long *value; } longs[] = {
      {"--port", &port},         {"--streams", &stream_count}, {"--requests", &requests}, {"--tokens", &tokens},
      {"--ramp_us", &ramp_us},   {"--pause_us", &pause_us},    {"--window_ms", &window_ms}, {"--hold", &hold},
      {"--opening", &opening},   {"--limit_s", &limit_s}};
  for (int i = 1; i + 1 < count; i += 2) {
    int known = 0;
    for (unsigned k = 0; k < sizeof longs / sizeof *longs; k++)
      if (!strcmp(arguments[i], longs[k].name)) *longs[k].value = atol(arguments[i + 1]), known = 1;
    if (!strcmp(arguments[i], "--seconds")) seconds = atof(arguments[i + 1]), known = 1;
    if (!strcmp(arguments[i], "--request")) {
      FILE *file = fopen(arguments[i + 1], "rb");
      request = malloc(1 << 20);
      request_length = file ? fread(request, 1, 1 << 20, file) : 0;
      if (file) fclose(file);
      known = 1;
    }
    if (!known) fprintf(stderr, "load: what is %s?\n", arguments[i]), exit(2);
  }
  if (!request_length || !port || (!requests && !seconds)) fprintf(stderr, "load: --port, --request, --requests\n"), exit(2);
}

static void report(int64_t start_ns) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  qsort(first_token_ns, first_token_count, sizeof *first_token_ns, compare);
  printf("{\"mark\": \"end\", \"requests\": %ld, \"good\": %ld, \"tokens\": %ld, \"reads\": %ld, \"body_bytes\": %ld, ", issued, good,
         token_total, read_total, body_bytes);
  printf("\"wall_s\": %.4f, \"first_token\": {\"count\": %ld, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}, ",
         (now_ns() - start_ns) / 1e9, first_token_count, first_token_ms(0.5), first_token_ms(0.99), first_token_ms(1));
  print_gaps("gap", &every_gap);
  print_gaps("window_gap", &window_gap);
  printf("\"errors\": {\"connect\": %ld, \"status\": %ld, \"cut\": %ld, \"not_done\": %ld, \"time\": %ld}, \"first_status\": %ld, ",
         failed_connect, failed_status, failed_cut, failed_done, failed_time, first_status);
  printf("\"lost\": %ld, \"repeated\": %ld, \"reordered\": %ld, \"strange\": %ld, \"reconnects\": %ld, \"cpu_s\": %.4f}\n", lost,
         repeated, reordered, strange, reconnects,
         used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

int main(int count, char **arguments) {
  read_arguments(count, arguments);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (requests && stream_count > requests) stream_count = requests;
  all = calloc(stream_count, sizeof *all);
  for (long i = 0; i < stream_count; i++) {
    all[i].fd = -1;
    all[i].seen = malloc(tokens / 8 + 1);
    all[i].head = malloc(HEAD_BYTES + 1);
  }
  epoll_fd = epoll_create1(0);
  int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event events[EVENTS], event = {.events = EPOLLIN, .data.ptr = &timer_fd};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
  if (hold) {
    event.data.ptr = &hold;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
  }
  int64_t start_ns = now_ns(), next_start_ns = start_ns, timer_set_ns = 0;
  for (;;) {
    int64_t now = now_ns(), wake_ns = start_ns + limit_s * 1000000000;
    if (now >= wake_ns) {
      failed_time = issued - finished;
      break;
    }
    while (started < stream_count && may_issue(now, start_ns) && now >= next_start_ns && (!hold || not_ready < opening)) {
      not_ready++;
      ask(&all[started++]);
      next_start_ns += ramp_us * 1000;
    }
    if (started < stream_count && next_start_ns > now && next_start_ns < wake_ns) wake_ns = next_start_ns;
    if (in_window && now >= window_ns) close_window();
    if (in_window && window_ns < wake_ns) wake_ns = window_ns;
    /* A stream that failed early must not take the turn of one that has not started yet. */
    int asking = started == stream_count && may_issue(now, start_ns);
    for (long i = 0; i < started && asking; i++) {
      struct stream *s = &all[i];
      if (s->state != IDLE) continue;
      if (now >= s->again_ns)
        ask(s), asking = may_issue(now, start_ns);
      else if (s->again_ns < wake_ns)
        wake_ns = s->again_ns;
    }
    if (finished == issued && !asking && (started == stream_count || !may_issue(now, start_ns))) break;
    if (wake_ns != timer_set_ns) {
      struct itimerspec when = {.it_value = {.tv_sec = wake_ns / 1000000000, .tv_nsec = wake_ns % 1000000000}};
      timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
      timer_set_ns = wake_ns;
    }
    int ready_count = epoll_wait(epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < ready_count; i++) {
      if (events[i].data.ptr == &timer_fd) {
        uint64_t times;
        if (read(timer_fd, &times, sizeof times) < 0) continue;
        timer_set_ns = 0;
      } else if (events[i].data.ptr == &hold) {
        /* Streams that are let go are not over: what they have yet to say is not lost. */
        long held = 0;
        for (long k = 0; k < started; k++) held += all[k].state == BODY;
        mark("released");
        good += held, finished += held, closing = 1;
        for (long k = 0; k < started; k++) hang_up(&all[k]);
        failed_time = issued - finished;
        report(start_ns);
        return 0;
      } else {
        ready(events[i].data.ptr, events[i].events);
      }
    }
  }
  close_window();
  report(start_ns);
  return 0;
}
