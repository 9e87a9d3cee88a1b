// Shows what the hook knows as JSON, for a program to read. The address says which graph of which
// server to ask, and with which input.

import { useStream } from "@langchain/react";
import { useState } from "react";
import { createRoot } from "react-dom/client";

/** How often an answer is given anew, and how long after. */
const ANSWERS = 400;
const AGAIN_MS = 50;

const asked = new URLSearchParams(location.search);

function Page() {
  const [thread, setThread] = useState(asked.get("thread"));
  const stream = useStream({
    apiUrl: asked.get("server"),
    apiKey: null,
    assistantId: asked.get("graph"),
    transport: asked.get("transport"),
    threadId: thread,
    onThreadId: (id) => {
      asked.set("thread", id);
      history.replaceState(null, "", `?${asked}`);
      setThread(id);
    },
  });
  // After a reload the hook shows a question of the stored state at once, and refuses an answer to it
  // until its stream has told of the question too.
  const answer = async (left) => {
    try {
      await stream.respond("yes");
    } catch (error) {
      if (!/no pending interrupt/i.test(error) || left === 0) throw error;
      setTimeout(answer, AGAIN_MS, left - 1);
    }
  };
  const shown = {
    thread,
    isLoading: stream.isLoading,
    error: stream.error ? String(stream.error) : null,
    items: stream.values?.items,
    texts: stream.messages.map((message) => message.text),
    questions: stream.interrupts.map((interrupt) => interrupt.value),
    calls: stream.toolCalls.map((call) => call.name),
  };
  return (
    <>
      <button id="submit" onClick={() => stream.submit(JSON.parse(asked.get("input")))} />
      <button id="answer" onClick={() => answer(ANSWERS)} />
      <button id="stop" onClick={() => stream.stop()} />
      <pre id="shown">{JSON.stringify(shown)}</pre>
    </>
  );
}

createRoot(document.getElementById("root")).render(<Page />);
