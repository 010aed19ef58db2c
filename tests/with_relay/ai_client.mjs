// The clients of the Vercel AI SDK, as useChat and useCompletion use them, against the relay, as a browser would let
// them: `node ai_client.mjs RELAY LLMOCK`, their addresses, where the package `ai` is installed.

import assert from "node:assert/strict";
import { AbstractChat, callCompletionApi, TextStreamChatTransport } from "ai";

const [relay, llmock] = process.argv.slice(2);
const TEXT = "Хорошо, спасибо! 👋 — и вам?";
const ORIGIN = "http://localhost:3000"; // the relay's --allow-origin
const SAFE = new Set(["accept", "accept-language", "content-language"]); // headers that need no leave

async function script(...behaviors) {
  await fetch(`${llmock}/_llmock/reset`, { method: "POST" });
  await fetch(`${llmock}/_llmock/scenario`, { method: "POST", body: JSON.stringify({ behaviors }) });
}

async function onlyRequest() {
  for (;;) {
    const { requests } = await (await fetch(`${llmock}/_llmock/requests`)).json(); // waits itself
    assert(requests.length <= 1, JSON.stringify(requests));
    if (requests.length) return requests[0];
  }
}

const reply = (text = TEXT, more = {}) => ({ type: "reply", text, ...more });
const fault = (kind, more = {}) => ({ type: "stream_fault", kind, after_chunks: 3, ...more });

// What a browser does for a page of another origin: it asks for leave first, and shows nothing that names no leave.
function browser(origin) {
  return async (url, init) => {
    const headers = new Headers(init.headers);
    const asked = [...headers.keys()].filter((name) => !SAFE.has(name));
    const preflight = await fetch(url, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": asked.sort().join(","),
      },
    });
    const allowed = (preflight.headers.get("access-control-allow-headers") ?? "").toLowerCase().split(/, */);
    if (
      !preflight.ok ||
      preflight.headers.get("access-control-allow-origin") !== origin ||
      !asked.every((name) => allowed.includes(name))
    ) {
      throw new TypeError("Failed to fetch");
    }
    headers.set("origin", origin);
    const response = await fetch(url, { ...init, headers });
    if (response.headers.get("access-control-allow-origin") !== origin) throw new TypeError("Failed to fetch");
    return response;
  };
}

// The state that useChat keeps in React.
class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => this.messages.push(message);
  popMessage = () => this.messages.pop();
  replaceMessage = (index, message) => (this.messages[index] = message);
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor({ origin = ORIGIN, ...options } = {}) {
    const transport = new TextStreamChatTransport({ api: `${relay}/api/chat`, fetch: browser(origin), ...options });
    super({ transport, state: new State(), onError: () => {} });
  }

  get text() {
    const last = this.messages.at(-1);
    if (last?.role !== "assistant") return "";
    return last.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
  }
}

async function ask(text, options) {
  const chat = new Chat(options);
  await chat.sendMessage({ text });
  return chat;
}

async function complete(origin = ORIGIN) {
  const seen = { completion: "", error: undefined, finished: undefined };
  const returned = await callCompletionApi({
    api: `${relay}/api/completion`,
    prompt: "Привет!",
    headers: undefined,
    body: {},
    streamProtocol: "text",
    setCompletion: (completion) => (seen.completion = completion),
    setLoading: () => {},
    setError: (error) => (seen.error = error),
    setAbortController: () => {},
    onFinish: (_, completion) => (seen.finished = completion),
    onError: undefined,
    fetch: browser(origin),
  });
  return { ...seen, returned };
}

// Whole replies, and a second turn, in which the first comes back in parts.
await script(reply());
const chat = await ask("Привет!", { body: { model: "gpt-4o", temperature: 0.25 } });
assert.deepEqual([chat.status, chat.error, chat.text], ["ready", undefined, TEXT]);
await script(reply());
await chat.sendMessage({ text: "И ещё?" });
assert.deepEqual([chat.status, chat.text, chat.messages.length], ["ready", TEXT, 4]);
assert.deepEqual((await onlyRequest()).body, {
  model: "gpt-4o",
  messages: [
    { role: "user", content: "Привет!" },
    { role: "assistant", content: TEXT },
    { role: "user", content: "И ещё?" },
  ],
  stream: true,
  temperature: 0.25,
});
await script(reply());
assert.deepEqual(await complete(), { completion: TEXT, error: undefined, finished: TEXT, returned: TEXT });
assert.deepEqual((await onlyRequest()).body.messages, [{ role: "user", content: "Привет!" }]);

// Refusals: the whole body is the error's message, for a page to parse.
for (const [behaviour, words] of [
  [{ type: "fail", status: 429, retry_after: 7, message: "Slow down." }, "Slow down."],
  [{ type: "fail", status: 401, message: "No such key." }, "No such key."],
  [reply(""), "finish reason stop"],
]) {
  await script(behaviour);
  const refused = await ask("Hi");
  assert.equal(refused.status, "error");
  assert(JSON.parse(refused.error.message).error.message.includes(words), refused.error.message);
  assert.equal(refused.text, "");
  await script(behaviour);
  const failed = await complete();
  assert(JSON.parse(failed.error.message).error.message.includes(words), failed.error.message);
  assert.deepEqual([failed.completion, failed.finished], ["", undefined]);
}

// Replies that break: an error, and the text so far.
for (const behaviours of [
  [reply(), fault("disconnect")],
  [reply(), fault("truncate")],
  [reply(), fault("malformed")],
  [reply(TEXT, { finish_reason: "content_filter" })],
]) {
  await script(...behaviours);
  const broken = await ask("Hi");
  assert.equal(broken.status, "error", JSON.stringify(behaviours));
  assert(broken.text && TEXT.startsWith(broken.text), broken.text);
  await script(...behaviours);
  const cut = await complete();
  assert(cut.error instanceof Error, JSON.stringify(behaviours));
  assert(cut.completion && TEXT.startsWith(cut.completion), cut.completion);
  assert.equal(cut.finished, undefined);
}

// Whoever presses stop is no longer answered upstream.
await script(reply(), fault("stall", { stall_seconds: 60 }));
const stopped = new Chat();
const sent = stopped.sendMessage({ text: "Hi" });
while (!stopped.text) await new Promise((resolve) => setTimeout(resolve, 5));
await stopped.stop();
await sent;
assert.deepEqual([stopped.status, TEXT.startsWith(stopped.text)], ["ready", true]);
const left = await onlyRequest();
assert.equal(left.completed, false);
assert(left.duration < 30, `${left.duration}`);

// A page of another origin gets nothing, and asks nothing.
await script(reply());
const foreign = await ask("Hi", { origin: "http://evil.example" });
assert.deepEqual([foreign.status, foreign.error.message], ["error", "Failed to fetch"]);
const simple = await fetch(`${relay}/api/chat`, {
  method: "POST",
  headers: { origin: "http://evil.example", "content-type": "text/plain" },
  body: JSON.stringify({ prompt: "Hi" }),
});
assert.equal(simple.status, 403);
const { requests } = await (await fetch(`${llmock}/_llmock/requests`)).json();
assert.deepEqual(requests, []);

console.log("ai: its chat and its completion get whole replies from the relay, and see that others are not");
