// Runs one scenario with the quick start's code: `node drive.mjs SCENARIO`, its options on stdin, its outcome on stdout.
import { text } from "node:stream/consumers";

import { logIn } from "./quick/log-in.mjs";
import { remember, takeUp } from "./quick/reload.mjs";
import { stopOn } from "./quick/stop.mjs";
import { ask, streamInto } from "./quick/stream.mjs";

const options = JSON.parse(await text(process.stdin));
const MESSAGES = [{ role: "user", content: "Say hello" }];

/** What a page's element keeps of what is appended to it. */
class Element {
  text = "";

  constructor(heard = () => {}) {
    this.heard = heard;
  }

  append(piece) {
    this.text += piece;
    this.heard();
  }
}

class Storage extends Map {
  setItem = (name, value) => this.set(name, value);
  getItem = (name) => this.get(name) ?? null;
}

async function streamed(completion, heard) {
  const element = new Element(heard);
  const finish = await streamInto(element, completion);
  return { text: element.text, finish };
}

const scenarios = {
  async stream(session) {
    return streamed(ask(session, MESSAGES));
  },

  async stop(session) {
    const button = new EventTarget();
    const completion = ask(session, MESSAGES);
    stopOn(button, completion);
    return streamed(completion, () => button.dispatchEvent(new Event("click")));
  },

  async reload(session) {
    const storage = new Storage();
    const nothing = takeUp(session, storage);
    const completion = ask(session, MESSAGES);
    const first = await streamed(completion);
    remember(completion, storage);
    return { nothing, first, second: await streamed(takeUp(session, storage)) };
  },

  async refused(session) {
    try {
      await streamed(ask(session, []));
    } catch ({ status, code, param, requestId }) {
      return { status, code, param, requestId };
    }
  },
};

const session = await logIn(options.server, options.username, options.password);
console.log(JSON.stringify(await scenarios[process.argv[2]](session)));
