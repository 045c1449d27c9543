// The tokens of a log-in. One refresh serves all requests that find their token expired at once: a refresh token is used once.
/** What the server said instead of an answer. */
export class ApiError extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.param = error.param;
    this.requestId = error.request_id;
    this.retryAfterS = error.retry_after;
  }
}

export class Session {
  #base;
  #tokens;
  #fetch;
  #refreshing = null;

  /** `tokens` is `{access, refresh}`, as `/api/v2/auth/token/` gives them. */
  constructor(base, tokens, fetch = (...request) => globalThis.fetch(...request)) {
    this.#base = base;
    this.#tokens = tokens;
    this.#fetch = fetch;
  }

  static async signIn(base, username, password) {
    const session = new Session(base, null);
    session.#tokens = await session.json("/api/v2/auth/token/", { username, password });
    return session;
  }

  /** Send a request, a POST if there is a body. Returns the response of a success; throws ApiError. */
  async send(path, body, { headers, signal } = {}) {
    for (let refreshed = false; ; refreshed = true) {
      const access = this.#tokens?.access;
      const response = await this.#fetch(this.#base + path, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          ...(access && { Authorization: `Bearer ${access}` }),
          ...(body !== undefined && { "Content-Type": "application/json" }),
          ...headers,
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
      });
      if (response.ok) return response;
      const error = new ApiError(response.status, (await response.json()).error);
      if (error.code !== "token_expired" || refreshed) throw error;
      // Another request may have got new ones meanwhile.
      if (this.#tokens.access === access) await this.#refresh();
    }
  }

  async json(path, body, options) {
    return (await this.send(path, body, options)).json();
  }

  #refresh() {
    this.#refreshing ??= (async () => {
      const old = new Session(this.#base, null, this.#fetch);
      this.#tokens = await old.json("/api/v2/auth/token/refresh/", { refresh: this.#tokens.refresh });
    })().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }
}
