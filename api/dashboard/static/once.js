// Sends a form once: a second click while the first one's answer is on its way would only be told that it is.
// What the server makes of a form is the same without this script, and for whoever sends one twice.

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});

// A page that the browser kept and shows again is as good as new.
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
