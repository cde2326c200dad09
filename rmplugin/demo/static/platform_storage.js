// Platform storage of the practice LMS, for the tool in the frame beside or below this window.
// Source: 1EdTech LTI Client Side postMessages 0.1, LTI PostMessage Storage 0.1.
(() => {
  "use strict";
  const KEYS = 500;
  const CHARACTERS = 4096;
  const LONGEST_NAME = 255;
  // `frame` is where the tool is told to send to; `here` is what this window is.
  const { tool, frame, here } = document.currentScript.dataset;
  // One tool is registered, and nobody else is let in, so this is the store of its origin alone.
  const store = new Map();

  class Fault extends Error {
    constructor(code, text) {
      super(text);
      this.code = code;
    }
  }

  function key(message) {
    if (typeof message.key !== "string" || message.key === "" || message.key.length > LONGEST_NAME) {
      throw new Fault("bad_request", "key must be a text of 1 to 255 characters");
    }
    return message.key;
  }

  function put(message) {
    const name = key(message);
    const { value } = message;
    if (value === null) {
      store.delete(name);
      return { key: name, value };
    }
    if (typeof value !== "string") throw new Fault("bad_request", "value must be a text or null");
    const others = [...store].filter(([other]) => other !== name);
    const used = others.reduce((sum, pair) => sum + pair[0].length + pair[1].length, 0);
    if (others.length >= KEYS || used + name.length + value.length > CHARACTERS) {
      throw new Fault("storage_exhaustion", `at most ${KEYS} keys and ${CHARACTERS} characters`);
    }
    store.set(name, value);
    return { key: name, value };
  }

  function get(message) {
    const name = key(message);
    return { key: name, value: store.get(name) ?? null };
  }

  function capabilities() {
    const stores = ["lti.put_data", "lti.get_data"].map((subject) => ({ subject, frame }));
    return { supported_messages: [{ subject: "lti.capabilities" }, ...stores] };
  }

  const ANSWERS = here === "_parent" ? { "lti.capabilities": capabilities } : {};
  if (here === frame) Object.assign(ANSWERS, { "lti.put_data": put, "lti.get_data": get });

  function answer(message, origin) {
    const handle = Object.hasOwn(ANSWERS, message.subject) ? ANSWERS[message.subject] : null;
    if (!handle) throw new Fault("unsupported_subject", "this window does not answer that subject");
    if (typeof message.message_id !== "string" || message.message_id === "") {
      throw new Fault("bad_request", "message_id must be a text");
    }
    if (origin !== tool) throw new Fault("wrong_origin", "no tool with this origin is registered");
    return handle(message);
  }

  window.addEventListener("message", (event) => {
    const message = event.data;
    const ours = message !== null && typeof message === "object" && typeof message.subject === "string";
    // Answers go back to one origin by name, and a window without one ("null") has none.
    if (!ours || !message.subject.startsWith("lti.") || event.origin === "null") return;
    const reply = { subject: `${message.subject}.response`, message_id: message.message_id };
    try {
      Object.assign(reply, answer(message, event.origin));
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      reply.error = { code: fault.code, message: fault.message };
    }
    event.source.postMessage(reply, event.origin);
  });
})();
