// Keeps the page as the server has it: the queue, the open job and its log. All HTML comes from the server.
import { Player } from "./player.js";

const opened = document.querySelector("main").dataset.job;
const part = (id) => document.getElementById(id);
const player = part("player") && new Player(part("player"));

const AGAIN = 1500; // milliseconds before another try after the server refused to send events

/** Make `old` like `fresh`, keeping elements, so that focus, open boxes and pictures stay as they are. */
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.nodeType !== Node.ELEMENT_NODE || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  const kept = old.nodeName === "DETAILS" ? "open" : "";
  for (const name of old.getAttributeNames()) {
    if (name !== kept && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const name of fresh.getAttributeNames()) {
    if (old.getAttribute(name) !== fresh.getAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
  }
  const children = [...fresh.childNodes];
  [...old.childNodes].slice(children.length).forEach((child) => child.remove());
  children.forEach((child, i) => (old.childNodes[i] ? morph(old.childNodes[i], child) : old.append(child)));
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

/** Take over what the server says has changed. */
function update({ order, rows, job, machine }) {
  const list = part("rows");
  for (const [id, html] of Object.entries(rows)) {
    const old = part(`job-${id}`);
    if (old) morph(old, parsed(html));
    else list.append(parsed(html));
  }
  order.forEach((id, i) => {
    if (list.children[i] !== part(`job-${id}`)) list.insertBefore(part(`job-${id}`), list.children[i]);
  });
  [...list.children].slice(order.length).forEach((row) => row.remove());
  part("nothing").hidden = order.length > 0;
  morph(part("machine"), parsed(machine));
  if (job) updateOpened(job);
  tellTimes();
}

function updateOpened(html) {
  const standing = part("standing");
  const before = `${standing.dataset.frames} ${standing.dataset.state}`;
  morph(standing, parsed(html));
  document.title = `${standing.dataset.shot}: ${standing.dataset.standing}`;
  player?.allowRetake(standing.dataset.state === "done");
  if (`${standing.dataset.frames} ${standing.dataset.state}` !== before) player?.load();
  readLog();
}

async function readLog() {
  if (!part("log-box")?.open) return;
  const reply = await fetch(`/page/jobs/${opened}/log`);
  if (!reply.ok) return;
  const log = part("log");
  const follows = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  log.textContent = await reply.text();
  if (follows) log.scrollTop = log.scrollHeight;
}

/** Moments by the reader's own clock. */
function tellTimes() {
  for (const time of document.querySelectorAll("time")) {
    const moment = new Date(time.dateTime);
    time.textContent = moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

function listen() {
  const source = new EventSource(`/page/events?job=${opened}`);
  source.onopen = () => (part("link").textContent = "");
  source.onmessage = (event) => update(JSON.parse(event.data));
  source.onerror = () => {
    part("link").textContent = "The server does not answer; trying again …";
    // Refused, not cut off: the session has ended, and the page itself says what to do.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), AGAIN);
  };
}

/** Send a form, and say what the server says against it. */
async function act(event) {
  const form = event.target;
  if (form.id === "leave") return;
  event.preventDefault();
  try {
    const reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (reply.ok && reply.url !== location.href) location.assign(reply.url);
    part("sentence").textContent = reply.ok ? "" : await sentenceOf(reply);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // what fetch throws when nobody answers
    part("sentence").textContent = "The server does not answer; nothing was done. Try again when it runs.";
  }
}

async function sentenceOf(reply) {
  if (reply.headers.get("Content-Type").startsWith("application/json")) return (await reply.json()).message;
  return new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("sentence").textContent;
}

document.addEventListener("submit", act);
part("log-box")?.addEventListener("toggle", readLog);
player?.load();
tellTimes();
listen();
