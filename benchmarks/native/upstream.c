/* A provider that speaks OpenAI's stream format and costs next to nothing: one thread, epoll, bytes made in advance.
 *
 *   upstream    binds a free port of 127.0.0.1, prints it, serves until its standard input closes
 *
 * A POST is answered with a stream, anything else with a small JSON object. What to stream stands in the request's
 * body, where it travels through whatever is in between:
 *
 *   plan tokens=200 interval_us=50000 hold=0 ;
 *
 * interval_us  from one token to the next, on a schedule that does not drift; 0: as fast as it is read
 * hold         1: after the last token stay open and silent until the peer leaves
 *
 * Each token is one event and one HTTP chunk. Its text begins with a mark, "@" and twelve digits: the number of the
 * stream and the number of the token, so that whoever reads it can tell lost, repeated, reordered and strange ones. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
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

enum { REQUEST_BYTES = 64 * 1024, BATCH_BYTES = 64 * 1024, EVENT_BYTES = 1024, TEMPLATES = 8, EVENTS = 1024 };

struct template {
  char bytes[EVENT_BYTES];
  int length, mark; /* mark: where the twelve digits begin */
};

struct connection {
  int fd;
  char *request;
  int request_length;
  int streaming, hold;
  long number, next, tokens; /* next: of the token to be sent; == tokens: the tail; > tokens: nothing */
  int64_t interval_ns, due_ns;
  int heap_place; /* -1: not waiting for its time */
  char *pending;  /* what the socket did not take */
  int pending_length, pending_sent;
};

static struct template templates[TEMPLATES];
static char head[EVENT_BYTES], tail[2 * EVENT_BYTES];
static int head_length, tail_length;
static char batch[BATCH_BYTES];
static struct connection **connections; /* by file descriptor */
static struct connection **heap;        /* by time due, the soonest first */
static int heap_length, epoll_fd, timer_fd;
static long limit_fds, streams;
static int64_t timer_set_ns;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* --- bytes */

#define ENVELOPE \
  "data: {\"id\":\"930c60df-bf64-41c9-a88e-3ec75f81e00e\",\"object\":\"chat.completion.chunk\",\"created\":1790000000," \
  "\"model\":\"deepseek-flash\",\"system_fingerprint\":\"fp_bench\","

static int chunk(char *out, const char *data) {
  return sprintf(out, "%zx\r\n%s\r\n", strlen(data), data);
}

static void make_bytes(void) {
  static const char *texts[TEMPLATES] = {" the",         " relay",      ",\\n\\n- a list",     " \\\"quoted\\\"",
                                         " caf\xc3\xa9", " of a river", " \xe6\xbc\xa2\xe5\xad\x97", " and so on."};
  char data[EVENT_BYTES];
  for (int i = 0; i < TEMPLATES; i++) {
    sprintf(data, ENVELOPE
            "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@000000000000%s\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            texts[i]);
    templates[i].length = chunk(templates[i].bytes, data);
    templates[i].mark = strchr(templates[i].bytes, '@') - templates[i].bytes + 1;
  }
  int length = sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                             "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
  sprintf(data, ENVELOPE
          "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
  head_length = length + chunk(head + length, data);
  tail_length = chunk(tail, ENVELOPE
                      "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                      "\"usage\":{\"prompt_tokens\":24,\"completion_tokens\":100,\"total_tokens\":124,"
                      "\"prompt_tokens_details\":{\"cached_tokens\":0},\"prompt_cache_hit_tokens\":0,"
                      "\"prompt_cache_miss_tokens\":24}}\n\n");
  tail_length += chunk(tail + tail_length, "data: [DONE]\n\n");
  tail_length += sprintf(tail + tail_length, "0\r\n\r\n");
}

static void write_digits(char *out, long value) {
  for (int i = 5; i >= 0; i--, value /= 10) out[i] = '0' + value % 10;
}

static int write_token(char *out, long number, long token) {
  const struct template *from = &templates[token % TEMPLATES];
  memcpy(out, from->bytes, from->length);
  write_digits(out + from->mark, number);
  write_digits(out + from->mark + 6, token);
  return from->length;
}

/* --- who is due when */

static void heap_put(int place, struct connection *c) {
  heap[place] = c;
  c->heap_place = place;
}

static void heap_settle(int place, struct connection *c) {
  while (place > 0 && heap[(place - 1) / 2]->due_ns > c->due_ns) {
    heap_put(place, heap[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  for (;;) {
    int child = 2 * place + 1;
    if (child >= heap_length) break;
    if (child + 1 < heap_length && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
    if (heap[child]->due_ns >= c->due_ns) break;
    heap_put(place, heap[child]);
    place = child;
  }
  heap_put(place, c);
}

static void wait_for_time(struct connection *c) {
  if (c->heap_place < 0) c->heap_place = heap_length++;
  heap_settle(c->heap_place, c);
}

static void stop_waiting(struct connection *c) {
  int place = c->heap_place;
  if (place < 0) return;
  c->heap_place = -1;
  struct connection *last = heap[--heap_length];
  if (last != c) heap_settle(place, last);
}

static void set_timer(void) {
  int64_t due_ns = heap_length ? heap[0]->due_ns : 0;
  if (due_ns == timer_set_ns) return;
  timer_set_ns = due_ns;
  struct itimerspec when = {.it_value = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000}};
  timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* --- connections */

static void watch(struct connection *c, int events, int how) {
  struct epoll_event event = {.events = events, .data.fd = c->fd};
  epoll_ctl(epoll_fd, how, c->fd, &event);
}

static void leave(struct connection *c) {
  stop_waiting(c);
  close(c->fd);
  connections[c->fd] = NULL;
  free(c->request);
  free(c->pending);
  free(c);
}

/* Returns 0 if the connection is gone. What the socket does not take is kept, and sent first when it does. */
static int put(struct connection *c, const char *bytes, int length) {
  ssize_t sent = send(c->fd, bytes, length, MSG_NOSIGNAL);
  if (sent == length) return 1;
  if (sent < 0) {
    if (errno != EAGAIN) {
      leave(c);
      return 0;
    }
    sent = 0;
  }
  c->pending_length = length - sent;
  c->pending_sent = 0;
  c->pending = malloc(c->pending_length);
  memcpy(c->pending, bytes + sent, c->pending_length);
  watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
  return 1;
}

/* Sends all that is due, unless something older still waits for the socket. */
static void pump(struct connection *c, int64_t now) {
  while (c->streaming && !c->pending) {
    int length = 0;
    if (c->next < 0) {
      memcpy(batch, head, head_length);
      length = head_length;
      c->next = 0;
    }
    while (c->streaming && length < BATCH_BYTES - 2 * EVENT_BYTES && (!c->interval_ns || c->due_ns <= now)) {
      if (c->next < c->tokens) {
        length += write_token(batch + length, c->number, c->next);
      } else if (c->next == c->tokens && !c->hold) {
        memcpy(batch + length, tail, tail_length);
        length += tail_length;
        c->streaming = 0;
      } else {
        break;
      }
      c->next++;
      c->due_ns += c->interval_ns;
    }
    if (!length) break;
    if (!put(c, batch, length)) return;
  }
  if (c->streaming && !c->pending && c->interval_ns && !(c->hold && c->next >= c->tokens)) wait_for_time(c);
}

static long number_after(const char *text, const char *name) {
  const char *found = strstr(text, name);
  return found ? atol(found + strlen(name)) : 0;
}

static void begin(struct connection *c, const char *body) {
  const char *plan = strstr(body, "plan tokens=");
  if (!plan) {
    static const char refusal[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    put(c, refusal, sizeof refusal - 1);
    return;
  }
  c->number = ++streams % 1000000;
  c->tokens = number_after(plan, "tokens=");
  c->interval_ns = number_after(plan, "interval_us=") * 1000;
  c->hold = number_after(plan, "hold=") == 1;
  c->next = -1;
  c->due_ns = now_ns();
  c->streaming = 1;
  pump(c, c->due_ns);
}

/* Reads one whole request, if it is there and the answer to the one before is sent. */
static void take_request(struct connection *c) {
  if (c->streaming || c->pending || !c->request_length) return;
  c->request[c->request_length] = 0;
  char *body = strstr(c->request, "\r\n\r\n");
  if (!body) return;
  body += 4;
  char *length_header = strcasestr(c->request, "\r\ncontent-length:");
  int body_length = length_header && length_header < body ? atoi(length_header + 17) : 0;
  int whole = body - c->request + body_length;
  if (c->request_length < whole) return;
  char after = c->request[whole];
  c->request[whole] = 0;
  int fd = c->fd;
  if (!strncmp(c->request, "POST ", 5)) {
    begin(c, body);
  } else {
    static const char models[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n"
                                 "{\"object\":\"list\",\"data\":[]}";
    put(c, models, sizeof models - 1);
  }
  if (connections[fd] != c) return;
  c->request[whole] = after;
  memmove(c->request, c->request + whole, c->request_length - whole);
  c->request_length -= whole;
}

static void readable(struct connection *c) {
  ssize_t got = recv(c->fd, c->request + c->request_length, REQUEST_BYTES - c->request_length, 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    leave(c);
    return;
  }
  c->request_length += got;
  take_request(c);
}

static void writable(struct connection *c) {
  ssize_t sent = send(c->fd, c->pending + c->pending_sent, c->pending_length - c->pending_sent, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) leave(c);
    return;
  }
  c->pending_sent += sent;
  if (c->pending_sent < c->pending_length) return;
  free(c->pending);
  c->pending = NULL;
  watch(c, EPOLLIN, EPOLL_CTL_MOD);
  int fd = c->fd;
  pump(c, now_ns());
  if (connections[fd] == c) take_request(c);
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= limit_fds) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = connections[fd] = calloc(1, sizeof *c);
    c->fd = fd;
    c->heap_place = -1;
    c->request = malloc(REQUEST_BYTES + 1);
    watch(c, EPOLLIN, EPOLL_CTL_ADD);
  }
}

int main(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  limit_fds = files.rlim_cur < 1000000 ? files.rlim_cur : 1000000;
  connections = calloc(limit_fds, sizeof *connections);
  heap = calloc(limit_fds, sizeof *heap);
  make_bytes();
  signal(SIGPIPE, SIG_IGN);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (void *)&address, size) || listen(listener, 4096)) {
    perror("upstream");
    return 1;
  }
  getsockname(listener, (void *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);

  epoll_fd = epoll_create1(0);
  timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  int always[] = {listener, timer_fd, STDIN_FILENO};
  for (int i = 0; i < 3; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = always[i]};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, always[i], &event);
  }
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(epoll_fd, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) return 0;
      if (fd == listener) {
        accept_all(listener);
      } else if (fd == timer_fd) {
        uint64_t times;
        if (read(timer_fd, &times, sizeof times) < 0) continue;
        timer_set_ns = -1;
      } else {
        struct connection *c = connections[fd];
        if (c && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
        if (connections[fd] == c && c && c->pending && events[i].events & EPOLLOUT) writable(c);
      }
    }
    int64_t now = now_ns();
    while (heap_length && heap[0]->due_ns <= now) {
      struct connection *c = heap[0];
      stop_waiting(c);
      pump(c, now);
    }
    set_timer();
  }
}
