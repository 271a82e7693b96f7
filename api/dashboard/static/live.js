// Keeps a page true while it is looked at: asks for the page again, and takes over the parts that are
// marked `data-live` where they have changed. Without this script every page works, and stands still.

const EVERY_MS = 2000;
const LONGEST_MS = 30000; // between two tries while the server doesn't answer

const parts = () => [...document.querySelectorAll("[data-live][id]")];
const button = document.getElementById("live");
const lost = document.getElementById("lost");

let isOn = sessionStorage.getItem("live") !== "off";
let waitMs = EVERY_MS;
let timer = 0;

function plan() {
  clearTimeout(timer);
  if (isOn && !document.hidden) timer = setTimeout(refresh, waitMs);
}

async function refresh() {
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
    if (isOn) refresh(); else plan();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? plan() : isOn && refresh()));
  plan();
}
