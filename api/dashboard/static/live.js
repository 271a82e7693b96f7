// Keeps a page true while it is looked at: asks for the page again, and takes over the parts that are
// marked `data-live` where they have changed. Without this script every page works, and stands still.
//
// A page with `data-events` is told when something has changed (server-sent events), and asks then, and once
// in a while for what is no event. Where nobody tells, because something on the way holds events back, it asks
// every two seconds, as all other pages do.

const EVERY_MS = 2000;
const TOLD_EVERY_MS = 10000; // where changes are told
const APART_MS = 2000; // at least, between two looks, however much happens
const LONGEST_MS = 30000; // between two tries while the server doesn't answer

const parts = () => [...document.querySelectorAll("[data-live][id]")];
const button = document.getElementById("live");
const lost = document.getElementById("lost");

let isOn = sessionStorage.getItem("live") !== "off";
let waitMs = EVERY_MS;
let timer = 0;
let lookedAt = Date.now();
let isDue = false; // something has changed since the last look
let source = null; // of events; null where none is listened to
let isOver = false; // what is shown has ended: nothing changes any more

const isTold = () => source?.readyState === EventSource.OPEN;

function plan() {
  clearTimeout(timer);
  if (!isOn || document.hidden || (isOver && !isDue)) return;
  const usualMs = isTold() ? Math.max(waitMs, TOLD_EVERY_MS) : waitMs;
  // From the last look on: whatever plans anew, be it again and again, puts nothing off.
  timer = setTimeout(refresh, Math.max(0, lookedAt + (isDue ? APART_MS : usualMs) - Date.now()));
}

function look() {
  isDue = true; // also of a look that is under way, which plans the next at its end
  plan();
}

// Listens while the page is looked at, and no longer: a browser has six connections to a server. One that is
// cut off is opened again by the browser, and goes on where it was.
function listen() {
  const address = document.querySelector("[data-events]")?.dataset.events;
  const wants = address && isOn && !document.hidden && !isOver;
  if (!wants) {
    source?.close();
    source = null;
  } else if (source === null || source.readyState === EventSource.CLOSED) {
    source = new EventSource(address);
    source.addEventListener("open", plan);
    source.addEventListener("progress", look);
    source.addEventListener("error", plan);
    source.addEventListener("end", () => {
      isOver = true;
      listen();
      look();
    });
  }
}

async function refresh() {
  lookedAt = Date.now();
  isDue = false;
  try {
    const reply = await fetch(location.href, { cache: "no-store", headers: { accept: "text/html" } });
    if (reply.redirected) {
      location.reload(); // the login is over: its page comes
      return;
    }
    if (!reply.ok) throw new Error(`the server answers ${reply.status}`);
    take(new DOMParser().parseFromString(await reply.text(), "text/html"));
    lost.hidden = true;
    waitMs = EVERY_MS;
  } catch (error) {
    if (lost.hidden) {
      lost.textContent = `This page stands still since ${new Date().toLocaleTimeString()}: ${error.message}.`;
      lost.hidden = false;
    }
    waitMs = Math.min(2 * waitMs, LONGEST_MS);
  }
  plan();
}

function take(fresh) {
  for (const part of parts()) {
    const next = fresh.getElementById(part.id);
    if (!next || next.isEqualNode(part) || isInUse(part)) continue;
    const open = [...part.querySelectorAll("details")].map((one) => one.open);
    next.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? false; });
    if (!next.isEqualNode(part)) part.replaceWith(document.adoptNode(next));
  }
}

// Nothing is taken away from under somebody's hand.
function isInUse(part) {
  const selection = getSelection();
  return part.contains(document.activeElement)
    || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

if (button && parts().length) {
  const tell = () => {
    button.setAttribute("aria-pressed", String(isOn));
    button.title = isOn ? "This page follows what happens" : "This page stands still";
  };
  button.hidden = false;
  tell();
  button.addEventListener("click", () => {
    isOn = !isOn;
    sessionStorage.setItem("live", isOn ? "on" : "off");
    tell();
    listen();
    if (isOn) refresh(); else plan();
  });
  document.addEventListener("visibilitychange", () => {
    listen();
    if (document.hidden) plan(); else if (isOn) refresh();
  });
  listen();
  plan();
}
