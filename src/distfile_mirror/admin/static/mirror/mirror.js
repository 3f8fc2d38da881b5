/* What pages do beyond their HTML: copy, tell speed, tick many, focus the search. All of them work without it. */
"use strict";

const COPIED_MILLISECONDS = 1500;
const rates = new Map();

function addCopyButtons(root) {
  for (const target of root.querySelectorAll("[data-copy]:not([data-ready])")) {
    target.dataset.ready = "";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "copy";
    button.setAttribute("aria-label", "Copy " + (target.dataset.copy || "this"));
    button.addEventListener("click", () => copy(target, button));
    if (target.tagName === "PRE") {
      const frame = document.createElement("div");
      frame.className = "framed";
      target.replaceWith(frame);
      frame.append(target, button);
    } else {
      target.after(button);
    }
  }
}

async function copy(target, button) {
  const text = target.dataset.text || target.innerText;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    selectAndCopy(text);
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy"; }, COPIED_MILLISECONDS);
}

/* Plain HTTP pages of other machines get no clipboard. */
function selectAndCopy(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function tellSpeeds(root) {
  for (const progress of root.querySelectorAll("[data-received]")) {
    const received = Number(progress.dataset.received), total = Number(progress.dataset.total || 0);
    const now = performance.now(), key = progress.id, first = rates.get(key);
    const note = document.getElementById(key + "-speed");
    if (!first || received < first.received) {
      rates.set(key, { received, now });
    } else if (note && now - first.now > 2000 && received > first.received) {
      const speed = (received - first.received) / ((now - first.now) / 1000);
      note.textContent = sizeInWords(speed) + "/s" + (total ? ", " + secondsInWords((total - received) / speed) + " left" : "");
    }
  }
}

function sizeInWords(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return (count < 10 && unit ? count.toFixed(1) : Math.round(count)) + " " + units[unit];
}

function secondsInWords(seconds) {
  if (seconds < 90) return Math.ceil(seconds) + " s";
  if (seconds < 5400) return Math.round(seconds / 60) + " min";
  return Math.round(seconds / 3600) + " h";
}

function watchTicks(root) {
  for (const form of root.querySelectorAll("form[data-bulk]:not([data-ready])")) {
    form.dataset.ready = "";
    const all = form.querySelector("[data-all]"), bar = form.querySelector("[data-bar]");
    const count = form.querySelector("[data-count]");
    const boxes = () => [...form.querySelectorAll("tbody input[type=checkbox]")];
    if (!bar) continue;
    const show = () => {
      const ticked = boxes().filter((box) => box.checked).length;
      bar.hidden = ticked === 0;
      if (count) count.textContent = ticked;
      if (all) {
        all.checked = ticked > 0 && ticked === boxes().length;
        all.indeterminate = ticked > 0 && !all.checked;
      }
    };
    form.addEventListener("change", (event) => {
      if (event.target === all) for (const box of boxes()) box.checked = all.checked;
      show();
    });
    if (all) all.hidden = false;
    show();
  }
}

function addAll(root) {
  addCopyButtons(root);
  tellSpeeds(root);
  watchTicks(root);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    document.getElementById("search")?.focus();
    event.preventDefault();
  }
});
document.addEventListener("DOMContentLoaded", () => addAll(document));
document.addEventListener("htmx:afterSettle", () => addAll(document));
