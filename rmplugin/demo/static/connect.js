// The tool says when its registration page can be closed; as in Moodle the list of tools follows.
"use strict";
(function () {
  const frame = document.getElementById("registration");
  window.addEventListener("message", function (event) {
    if (event.source === frame.contentWindow && event.data && event.data.subject === "org.imsglobal.lti.close") {
      location.assign(frame.dataset.after);
    }
  });
})();
