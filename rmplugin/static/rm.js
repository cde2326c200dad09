// Keeps the pages usable inside an LMS frame. No cookies, no storage: the session token stands in the page.
"use strict";
(function () {
  // The one-time entry address must not stay in the frame's address: reloading it could not work.
  function settle() {
    const home = document.querySelector("[data-settle]");
    const path = home ? home.dataset.settle : location.pathname + location.search.replace(/[?&]said=[^&]*/, "");
    // What was done is said once: reloading the page must not say it again.
    if (home || location.search.includes("said=")) {
      try { history.replaceState(history.state, "", path); } catch { /* A sandboxed frame may forbid it. */ }
    }
  }
  // Screen readers speak what gets the focus: the alert, else the heading together with what was just done.
  function heading() {
    const place = document.querySelector("[role=alert]") || document.querySelector("h1");
    if (!place) { return; }
    if (document.querySelector("#rm-status p")) { place.setAttribute("aria-describedby", "rm-status"); }
    place.setAttribute("tabindex", "-1"); place.focus({ preventScroll: true });
  }
  // The server knows which answers are wrong, not which of them stands first on the page.
  function pointAtFault() {
    const link = document.getElementById("rm-first-fault");
    const wrong = document.querySelector(".rm-field-wrong [aria-invalid], fieldset.rm-field-wrong");
    if (link && wrong && wrong.id) { link.setAttribute("href", "#" + wrong.id); }
  }
  function say(text) {
    let place = document.getElementById("rm-trouble");
    if (!place) {
      place = document.createElement("div");
      place.id = "rm-trouble"; place.className = "alert alert-danger"; place.setAttribute("role", "alert");
      document.getElementById("main").prepend(place);
    }
    place.textContent = text; place.setAttribute("tabindex", "-1"); place.focus();
  }
  // Without JavaScript the form's own button sends it.
  document.addEventListener("DOMContentLoaded", function () {
    const form = document.querySelector("form[data-send]");
    if (form) { form.submit(); }
  });
  document.addEventListener("DOMContentLoaded", settle);
  document.addEventListener("DOMContentLoaded", pointAtFault);
  // htmx leaves the page alone when an answer is an error. Forms with faults come back as 422 and are shown; an
  // ended session is only said, so that what was typed stays where it is.
  document.addEventListener("htmx:beforeSwap", function (event) {
    const status = event.detail.xhr.status;
    if (status === 401) { event.detail.shouldSwap = false; }
    else if (status >= 400) { event.detail.shouldSwap = true; event.detail.isError = false; }
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    const target = event.detail.target;
    if (target === document.body) { window.scrollTo(0, 0); heading(); return; }
    // What a search found gets the focus, so that the next Tab is in it; data-found stands beside tabindex="-1".
    // A page that watched something is done: what it waited for gets the focus.
    const now = target.id && document.getElementById(target.id);
    if (now && now.hasAttribute("data-found")) { now.focus(); return; }
    if (now && target.hasAttribute("hx-trigger") && !now.hasAttribute("hx-trigger")) { heading(); }
  });
  // A refused form stays at the address of its page: the address that it was sent to cannot be reloaded.
  document.addEventListener("htmx:beforeHistoryUpdate", function (event) {
    const detail = event.detail;
    if (detail.xhr.status >= 400 && detail.requestConfig.verb !== "get") {
      detail.history.type = "replace"; detail.history.path = location.pathname + location.search;
    }
  });
  document.addEventListener("htmx:afterSettle", settle);
  document.addEventListener("htmx:afterSwap", pointAtFault);
  // Back and forward: htmx fetches the page anew, and would do so with the cookie alone, which may be blocked or
  // belong to somebody else who uses this browser.
  document.addEventListener("htmx:historyCacheMiss", function (event) {
    const xhr = event.detail.xhr, open = xhr.open;
    const headers = JSON.parse(document.body.getAttribute("hx-headers") || "{}");
    xhr.open = function () {
      open.apply(xhr, arguments);
      for (const name in headers) { xhr.setRequestHeader(name, headers[name]); }
    };
  });
  document.addEventListener("htmx:historyRestore", heading);
  const ENDED = "Your session has ended. What you typed is still on this page: copy it, then reopen the activity from your course.";
  document.addEventListener("htmx:responseError", function (event) {
    if (event.detail.xhr.status === 401) { say(ENDED); }
  });
  document.addEventListener("htmx:historyCacheMissLoadError", function (event) {
    say(event.detail.xhr.status === 401 ? ENDED : "That page could not be loaded again. Go on from the menu above.");
  });
  document.addEventListener("htmx:sendError", function () {
    say("The server did not answer. What you typed is still on this page. Check your connection and send it again.");
  });
})();
