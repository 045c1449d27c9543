// Runs one scenario with the guide's code: `node drive.mjs SCENARIO`, its options on stdin, its outcome on stdout.
import { text } from "node:stream/consumers";

import * as after from "./after/app.mjs";
import { Completion } from "./client/completion.mjs";
import { Session } from "./client/session.mjs";
import { shadow } from "./after/shadow.mjs";
import { events } from "./client/sse.mjs";
import { choose } from "./after/switch.mjs";
import * as before from "./before/app.mjs";
import { Socket } from "./before/socket.mjs";

const options = JSON.parse(await text(process.stdin));
const GENERATE = "/api/v2/prompts/generate/";

// A browser's takes no headers, Node's does: the scenario's.
const { WebSocket } = globalThis;
globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, { protocols, headers: options.headers ?? {} });
  }
};

/** A `fetch` that notes what is asked, adds the scenario's headers, and passes it on to `through`. */
function noting(through = fetch) {
  const asked = [];
  const noted = (url, request) => {
    const path = url.slice(options.base.length);
    asked.push(`${request.method} ${path.replace(/chatcmpl-\w+/, "{id}")}`);
    return through(url, { ...request, headers: { ...request.headers, ...options.headers } }, asked.length);
  };
  return { asked, fetch: noted };
}

/** A `fetch` whose responses break after so many bytes, as a lost connection does. */
function breaking(bytes) {
  return async (url, request) => {
    const response = await fetch(url, request);
    const reader = response.body?.getReader();
    let left = bytes;
    const body = new ReadableStream(
      {
        async pull(controller) {
          if (left <= 0) {
            await reader.cancel();
            throw new TypeError("network error");
          }
          const { done, value } = await reader.read();
          if (done) return controller.close();
          controller.enqueue(value.subarray(0, left));
          left -= value.length;
        },
      },
      { highWaterMark: 0 },
    );
    return new Response(reader && body, { status: response.status, headers: response.headers });
  };
}

function session(through) {
  const noted = noting(through);
  return { asked: noted.asked, session: new Session(options.base, options.tokens, noted.fetch) };
}

async function whole(completion) {
  const pieces = [];
  for await (const piece of completion.pieces()) pieces.push(piece);
  return { id: completion.id, content: pieces.join(""), kept: completion.content, finish: completion.finishReason };
}

async function told(promise) {
  try {
    return { answer: await promise };
  } catch (error) {
    const { status, code, param, retryAfterS, requestId, message } = error;
    return { status, code, param, retryAfterS, requestId, message };
  }
}

/** The five calls of either client. */
async function calls(app, client, searching = client) {
  const shown = [];
  const content = await app.chat(client, "Say hello", [{ role: "user", content: "Hi" }], (piece) => shown.push(piece));
  const intent = await app.intent(client, options.query);
  const optimization = await app.optimize(client, options.prompt, intent);
  const results = await app.search(searching, options.search, options.filters);
  return { content, shown: shown.join(""), intent, optimization, results };
}

/** Generate, and press stop when the first piece has come. */
async function stopped(app, client) {
  let generated;
  await new Promise((resolve) => {
    generated = app.generate(client, "Say a lot", resolve);
  });
  await generated.stop();
  return generated.answer;
}

const scenarios = {
  async parse() {
    const bytes = Buffer.from(options.bytes, "base64");
    const outcomes = [];
    for (let size = 1; size <= bytes.length; size += 1) {
      const pieces = [];
      for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
      const seen = [];
      for await (const event of events(new Response(ReadableStream.from(pieces)))) seen.push(event);
      outcomes.push(seen);
    }
    return outcomes;
  },

  async leaving() {
    let closed = false;
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(Buffer.from("data: x\n\n")),
      cancel: () => {
        closed = true;
      },
    });
    for await (const { data } of events(new Response(body))) if (data === "x") break;
    return closed;
  },

  async after() {
    return calls(after, await after.connect(options.base, options.username, options.password));
  },

  async before() {
    // One after the other: of two log-ins at once of one user the second waits, on a busy machine for too long.
    const connect = (path) => before.connect(options.base, options.username, options.password, path);
    const socket = await connect("/ws/prompt-chat/");
    const searching = await connect("/ws/search/");
    const outcome = await calls(before, socket, searching);
    socket.close();
    searching.close();
    return outcome;
  },

  async broken() {
    const { asked, session: client } = session(breaking(options.bytes));
    return { asked, ...(await whole(new Completion(client, GENERATE, { prompt: "Say it in pieces" }))) };
  },

  // The request arrives, and what is answered does not.
  async unheard() {
    const { asked, session: client } = session(async (url, request, number) => {
      const response = await fetch(url, request);
      if (number > 1) return response;
      await response.body.cancel();
      throw new TypeError("fetch failed");
    });
    return { asked, ...(await whole(new Completion(client, GENERATE, { prompt: "Say it once" }))) };
  },

  // By the time it comes back the server keeps no events any more.
  async late() {
    const cut = breaking(options.bytes);
    const { asked, session: client } = session(async (url, request) => {
      if (request.method === "POST") return cut(url, request);
      if (!url.endsWith("/events/")) return fetch(url, request);
      for (;;) {
        const response = await fetch(url, request);
        if (response.status === 410) return response;
        await response.body?.cancel();
      }
    });
    return { asked, ...(await whole(new Completion(client, GENERATE, { prompt: "Say it and forget it" }))) };
  },

  async away() {
    const { asked, session: client } = session(async (url, request, number) => {
      if (number > 1) return fetch(url, request);
      const error = { message: "Try again.", code: "draining", retry_after: 0 };
      return Response.json({ error }, { status: 503 });
    });
    return { asked, ...(await whole(new Completion(client, GENERATE, { prompt: "Say it elsewhere" }))) };
  },

  async stopped() {
    return stopped(after, session().session);
  },

  async stoppedAtOnce() {
    const { answer, stop } = after.generate(session().session, "Say nothing", () => {});
    await stop();
    return answer;
  },

  async stoppedBefore() {
    const socket = await Socket.open(options.base, "/ws/ai-processing/", options.tokens.access);
    const outcome = await stopped(before, socket);
    socket.close();
    return outcome;
  },

  async refused() {
    const { session: client } = session();
    return told(whole(new Completion(client, GENERATE, options.body)));
  },

  async refusedBefore() {
    const socket = await Socket.open(options.base, "/ws/ai-processing/", options.tokens.access);
    const outcome = await told(socket.ask("generate_content", options.body));
    socket.close();
    return outcome;
  },

  async refreshed() {
    const { asked, session: client } = session();
    const answers = await Promise.all([1, 2, 3].map(() => client.json("/api/v2/auth/me/")));
    return { asked, names: answers.map(({ username }) => username) };
  },

  async choose() {
    return choose(session().session, "sse", "websocket");
  },

  async shadow() {
    const { session: client } = session();
    let answer;
    await new Promise((resolve) => {
      ({ answer } = after.generate(client, "Say it twice", resolve));
    });
    return shadow(client, answer);
  },

  async shadowBefore() {
    const socket = await Socket.open(options.base, "/ws/ai-processing/", options.tokens.access);
    let answer;
    await new Promise((resolve) => {
      ({ answer } = before.generate(socket, "Say it twice", resolve));
    });
    const outcome = await shadow(session().session, answer);
    socket.close();
    return outcome;
  },

  async shadowOfAnother() {
    const { session: client } = session();
    const first = await after.generate(client, "One", () => {}).answer;
    await after.generate(client, "Two", () => {}).answer;
    return shadow(client, Promise.resolve(first));
  },
};

console.log(JSON.stringify(await scenarios[process.argv[2]]()));
