// Endpoints as apps made with the Vercel AI SDK have them: its own checks of what comes in, its own replies, and a model
// that needs no network. The first line on stdout is the address; then comes a line of JSON for each request, of what the
// SDK made of it.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { convertToModelMessages, streamText, validateUIMessages } from "ai";
import { MockLanguageModelV3 } from "ai/test";

const PIECES = ["При", "вет", ", как ", "дела?"];

// A piece goes out when `/release` asks for it: so a reply that anybody holds back comes too late.
const waiting = [];
let released = 0;

async function gate() {
  if (released > 0) released -= 1;
  else await new Promise((resolve) => waiting.push(resolve));
}

function release() {
  if (waiting.length > 0) waiting.shift()();
  else released += 1;
  return new Response();
}

async function* parts() {
  yield { type: "stream-start", warnings: [] };
  yield { type: "text-start", id: "1" };
  for (const delta of PIECES) {
    await gate();
    yield { type: "text-delta", id: "1", delta };
  }
  yield { type: "text-end", id: "1" };
  const usage = { inputTokens: { total: 1 }, outputTokens: { total: PIECES.length } };
  yield { type: "finish", finishReason: { unified: "stop" }, usage };
}

function model(seen) {
  return new MockLanguageModelV3({
    doStream: async ({ prompt }) => {
      seen.prompt = prompt;
      console.log(JSON.stringify(seen));
      return { stream: ReadableStream.from(parts()) };
    },
  });
}

const endpoints = {
  "/release": release,
  // For `useChat`, as in the SDK's guides.
  "/api/chat": async (body) => {
    const messages = await validateUIMessages({ messages: body.messages });
    const told = { messages: await convertToModelMessages(messages), allowSystemInMessages: true };
    return streamText({ model: model({ body, messages }), ...told }).toTextStreamResponse();
  },
  // For `useCompletion`.
  "/api/completion": (body) =>
    streamText({ model: model({ body }), prompt: body.prompt }).toTextStreamResponse(),
};

async function respond(request) {
  try {
    return await endpoints[request.url](JSON.parse((await text(request)) || "{}"));
  } catch (error) {
    return Response.json({ error: { message: String(error) } }, { status: 400 });
  }
}

const server = createServer(async (request, reply) => {
  const response = await respond(request);
  reply.writeHead(response.status, Object.fromEntries(response.headers));
  for await (const bytes of response.body ?? []) reply.write(bytes);
  reply.end();
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
