// Tells the LMS to close this page: Moodle and Canvas show it in a frame, Brightspace in a tab of its own.
"use strict";
(function () {
  const place = document.querySelector("[data-lti-close]");
  if (!place) { return; }
  const opener = window.opener || (window.parent !== window ? window.parent : null);
  const left = place.querySelector("[data-seconds]");
  let seconds = Number(place.dataset.ltiClose) || 0, timer = null;
  if (!opener) { place.hidden = true; return; }
  place.hidden = false;
  function close() {
    stop();
    opener.postMessage({ subject: "org.imsglobal.lti.close" }, "*");
    place.querySelector("[data-lti-closed]").hidden = false;
  }
  function stop() {
    clearInterval(timer); timer = null;
    const waiting = place.querySelector("[data-lti-waiting]");
    if (waiting) { waiting.hidden = true; }
  }
  place.querySelector("[data-lti-now]").addEventListener("click", close);
  const stay = place.querySelector("[data-lti-stay]");
  if (stay) { stay.addEventListener("click", stop); }
  if (seconds > 0) {
    timer = setInterval(function () {
      seconds -= 1; left.textContent = seconds;
      if (seconds <= 0) { close(); }
    }, 1000);
  }
})();
