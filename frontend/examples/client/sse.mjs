// Server-sent events of a response. Lines are cut at CR, LF and CRLF only (never by a function that also cuts at U+2028);
// what is not whole is held back: half a character, half a line, half an event.
/** Yield the events of a response. Returns where the response ends, throws where the connection breaks. */
export async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let id = null;
  let event = "message";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      // A CR at the very end may be the first half of a CRLF.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { id, event, data: data.join("\n") };
          event = "message";
          data = [];
          continue;
        }
        const [, field, text] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line);
        if (field === "data") data.push(text);
        else if (field === "event") event = text || "message";
        else if (field === "id" && !text.includes("\0")) id = text;
      }
    }
  } finally {
    // Whoever stops listening closes the connection.
    reader.cancel().catch(() => {});
  }
}
