// The socket library of Node that the plain socket is held against: `ws`, nothing behind it.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The library is where it was installed, not beside this file.
const [port, modules] = process.argv.slice(2);
const { WebSocketServer } = createRequire(pathToFileURL(`${modules}/`))("ws");

const http = createServer((_, response) => response.end('{"ok":true}'));
const sockets = new WebSocketServer({ server: http, path: "/ws/tokens200", perMessageDeflate: false });

function frame() {
  const said = `t${process.hrtime.bigint()} `;
  return JSON.stringify({ content: said, p: "x".repeat(130 - 20 - said.length) });
}

async function speak(socket, { n, interval_us: interval = 0 }) {
  let due = performance.now();
  for (let count = 1; count <= n && socket.readyState === socket.OPEN; count++) {
    if (interval > 0) {
      due += interval / 1000;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    } else if (count % 64 === 0) {
      // Others have their turn, and what is written goes out.
      await new Promise((resolve) => setImmediate(resolve));
    }
    socket.send(frame());
  }
  socket.close(1000);
}

sockets.on("connection", (socket) => {
  socket.once("message", (text) => speak(socket, JSON.parse(text)));
});
http.listen(Number(port), "127.0.0.1");
