// Keeps the pages usable inside an LMS frame. No cookies, no storage: the session token stands in the page.
"use strict";
(function () {
  // The one-time entry address must not stay in the frame's address: reloading it could not work.
  function settle() {
    const home = document.querySelector("[data-settle]");
    const path = home ? home.dataset.settle : location.pathname + location.search.replace(/[?&]said=[^&]*/, "");
    // What was done is said once: reloading the page must not say it again.
    if (home || location.search.includes("said=")) {
      try { history.replaceState(null, "", path); } catch { /* A sandboxed frame may forbid it. */ }
    }
  }
  function heading() {
    const place = document.querySelector("[role=alert]") || document.querySelector("h1");
    if (place) { place.setAttribute("tabindex", "-1"); place.focus(); }
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
  document.addEventListener("DOMContentLoaded", settle);
  // htmx leaves the page alone when an answer is an error. Forms with faults come back as 422 and are shown; an
  // ended session is only said, so that what was typed stays where it is.
  document.addEventListener("htmx:beforeSwap", function (event) {
    const status = event.detail.xhr.status;
    if (status === 401) { event.detail.shouldSwap = false; }
    else if (status >= 400) { event.detail.shouldSwap = true; event.detail.isError = false; }
  });
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target === document.body) { window.scrollTo(0, 0); heading(); }
  });
  document.addEventListener("htmx:pushedIntoHistory", settle);
  document.addEventListener("htmx:replacedInHistory", settle);
  document.addEventListener("htmx:afterSettle", function () {
    settle();
  });
  document.addEventListener("htmx:responseError", function (event) {
    if (event.detail.xhr.status === 401) {
      say("Your session has ended. What you typed is still on this page: copy it, then reopen the activity from your course.");
    }
  });
  document.addEventListener("htmx:sendError", function () {
    say("The server did not answer. What you typed is still on this page. Check your connection and send it again.");
  });
})();
