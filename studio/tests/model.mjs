// A model server of one's own: it answers what a test tells it to, as OpenAI's would.

import { createServer } from "node:http";

/** Starts it. `answer` gives the text for a prompt, or throws a status. */
export async function model(answer) {
  const prompts = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    const { messages = [] } = JSON.parse(body || "{}");
    const prompt = messages.map((it) => (typeof it.content === "string" ? it.content : it.content.map((part) => part.text ?? "").join(""))).join("\n");
    prompts.push(prompt);
    let text;
    try {
      text = await answer(prompt);
    } catch (status) {
      response.writeHead(Number(status) || 500, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "not today", type: "server_error", param: null, code: null } }));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const frame = (delta, finish_reason = null) => response.write(`data: ${JSON.stringify({
      id: "c1", object: "chat.completion.chunk", created: 1, model: "scripted", choices: [{ index: 0, delta, finish_reason }],
    })}\n\n`);
    frame({ role: "assistant", content: "" });
    for (const piece of text.match(/[\s\S]{1,40}/g) ?? []) frame({ content: piece });
    frame({}, "stop");
    response.end("data: [DONE]\n\n");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    prompts,
    env: { OPENAI_API_BASE_URL: `http://127.0.0.1:${server.address().port}/v1`, OPENAI_LLM_NAME: "scripted", OPENAI_API_KEY: "sk-test" },
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}
