// One completion: sent so that it is safe to repeat, resumed where its connection broke, stopped when asked to.
import { ApiError } from "./session.mjs";
import { events } from "./sse.mjs";

const WAITS_MS = [0, 500, 1_000, 2_000, 4_000, 8_000];

export class Completion {
  id = null;
  content = "";
  finishReason = null;
  #session;
  #path;
  #body;
  #key = crypto.randomUUID();
  #lastEventId = "0";
  #cancelled = false;
  #forgotten = false;

  constructor(session, path, body) {
    this.#session = session;
    this.#path = path;
    this.#body = { ...body, stream: true };
  }

  /** Return a completion that was begun before, such as by the page until it was reloaded; it is read from its beginning. */
  static attach(session, id) {
    const completion = new Completion(session, null, {});
    completion.id = id;
    return completion;
  }

  /** Yield the answer piece by piece; returns when it is whole or cancelled, throws where there will be no more. */
  async *pieces() {
    for (let failures = 0; ; failures += 1) {
      const seen = this.#lastEventId;
      let problem = new Error("The connection was lost.");
      try {
        if (yield* this.#read()) return;
      } catch (error) {
        // What was refused stays refused; a broken connection and a server that is being started again mend.
        if (error.code === "no_longer_kept") this.#forgotten = true;
        else if (error instanceof ApiError && error.status !== 503) throw error;
        problem = error;
      }
      if (this.#lastEventId !== seen) failures = 0;
      if (failures === WAITS_MS.length) throw problem;
      const waitMs = Math.max(WAITS_MS[failures], (problem.retryAfterS ?? 0) * 1_000);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  /** Stop it, from the first moment on; `pieces` ends by itself then, with the finish reason `cancelled`. */
  async cancel() {
    this.#cancelled = true;
    if (this.id === null) return;
    try {
      await this.#session.send(`/api/v2/chat/completions/${this.id}/cancel/`, {});
    } catch (error) {
      if (error.code !== "already_finished") throw error;
    }
  }

  /** Read one response; true if the answer is whole, false if the response ended before it was. */
  async *#read() {
    if (this.#forgotten) return yield* this.#readStored();
    const response = await this.#open();
    if (response.status === 204) return true;
    if (this.id === null) {
      this.id = response.headers.get("X-PromptCraft-Completion-Id");
      if (this.#cancelled) await this.cancel();
    }
    for await (const { id, data } of events(response)) {
      if (data === "[DONE]") return true;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(response.status, chunk.error);
      this.#lastEventId = id;
      const [choice] = chunk.choices;
      this.finishReason = choice?.finish_reason ?? this.finishReason;
      const piece = choice?.delta.content;
      if (piece) {
        this.content += piece;
        yield piece;
      }
    }
    return false;
  }

  #open() {
    if (this.id === null) {
      return this.#session.send(this.#path, this.#body, { headers: { "Idempotency-Key": this.#key } });
    }
    const headers = { "Last-Event-ID": this.#lastEventId };
    return this.#session.send(`/api/v2/chat/completions/${this.id}/events/`, undefined, { headers });
  }

  /** The events are gone: the server was started again, or `STREAM_RETENTION` is over. The text is not. */
  async *#readStored() {
    const stored = await this.#session.json(`/api/v2/chat/completions/${this.id}/`);
    const [choice] = stored.choices;
    const piece = (choice.message.content ?? "").slice(this.content.length);
    this.finishReason = choice.finish_reason;
    if (piece) {
      this.content += piece;
      yield piece;
    }
    if (stored.status !== "failed") return true;
    throw new ApiError(200, { code: stored.error_code, message: "The answer was interrupted." });
  }
}
