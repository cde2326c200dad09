// Talks to the storage that the platform offers in place of cookies.
// Source: 1EdTech LTI Client Side postMessages 0.1, LTI PostMessage Storage 0.1.
(() => {
  "use strict";
  // Some apps never answer, and a storage frame may still be loading: ask again, but not for ever.
  const PATIENCE = 2000;
  const AGAIN = 200;
  const element = document.getElementById("lti-storage");
  const { frame, key, value, otherwise } = element.dataset;
  const origin = new URL(element.dataset.origin).origin;
  const puts = element.tagName === "A";
  const subject = puts ? "lti.put_data" : "lti.get_data";
  const messageId = crypto.getRandomValues(new Uint32Array(4)).join("-");
  // In a frame the platform is above, in a window of our own it is the opener, and else there is none.
  const above = window.parent === window ? window.opener : window.parent;
  let ended = false;

  function send(message) {
    try {
      const target = frame === "_parent" ? above : above.frames[frame];
      // Never to "*": whoever frames this page must learn nothing.
      target.postMessage({ ...message, key, message_id: messageId }, origin);
    } catch {
      // The frame is not there (yet).
    }
  }

  function end(found) {
    if (ended) return;
    ended = true;
    if (puts) {
      location.replace(found ? element.href : otherwise || element.href);
      return;
    }
    // What was read has done its work.
    if (found) send({ subject: "lti.put_data", value: null });
    element.elements.stored.value = found;
    // Going back here must not send the launch message again.
    history.replaceState(null, "", location.href);
    element.submit();
  }

  window.addEventListener("message", (event) => {
    const reply = event.data;
    if (event.origin !== origin || reply === null || typeof reply !== "object") return;
    if (reply.message_id !== messageId || reply.subject !== `${subject}.response`) return;
    const kept = puts ? value : reply.value;
    end(!reply.error && typeof kept === "string" ? kept : "");
  });

  function ask() {
    if (ended) return;
    send(puts ? { subject, value } : { subject });
    setTimeout(ask, AGAIN);
  }

  if (above) {
    setTimeout(end, PATIENCE, "");
    ask();
  } else {
    end("");
  }
})();
