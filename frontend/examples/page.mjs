// A page that logs in, streams, stops and, after a reload, goes on where the answer is.
import { Completion } from "./client/completion.mjs";
import { Session } from "./client/session.mjs";

const CHAT = "/api/v2/chat/completions/";
const [logIn, ask] = [document.querySelector("#log-in"), document.querySelector("#ask")];
const [answer, status, stop] = ["#answer", "#status", "#stop"].map((name) => document.querySelector(name));
let session = null;
let running = null;

function say(error) {
  const wait = error.retryAfterS ? ` Try again in ${error.retryAfterS} s.` : "";
  // A refused origin and a server that is away look alike to a page: fetch throws a TypeError for both.
  status.textContent = error.code ? `${error.message}${wait}` : `The server did not answer: ${error.message}`;
}

async function show(completion) {
  running = completion;
  stop.disabled = false;
  answer.textContent = "";
  answer.ariaBusy = "true";
  status.textContent = "";
  try {
    for await (const piece of completion.pieces()) {
      // Text, never HTML: what a model writes is not to be trusted.
      answer.append(piece);
      sessionStorage.setItem("completion", completion.id);
    }
    status.textContent = completion.finishReason === "cancelled" ? "Stopped." : "Done.";
  } catch (error) {
    say(error);
  } finally {
    sessionStorage.removeItem("completion");
    answer.ariaBusy = "false";
    stop.disabled = true;
    running = null;
  }
}

logIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { server, username, password } = Object.fromEntries(new FormData(logIn));
  try {
    session = await Session.signIn(server.replace(/\/$/, ""), username, password);
  } catch (error) {
    return say(error);
  }
  logIn.hidden = true;
  ask.hidden = false;
  status.textContent = "Logged in.";
  const before = sessionStorage.getItem("completion");
  if (before) await show(Completion.attach(session, before));
});

ask.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return;
  const messages = [{ role: "user", content: new FormData(ask).get("prompt") }];
  show(new Completion(session, CHAT, { messages }));
});

stop.addEventListener("click", () => running?.cancel().catch(say));
