// Built into `crates/mesh-studio/assets`, which is committed: cargo needs no Node. The same
// sources and lockfile give the same bytes, so the gate can prove that what is committed is current.
import { basename } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where a server answers while the Studio is served by Vite. */
const server = process.env.GENESIS_MESH_URL ?? "http://127.0.0.1:8080";
/** Paths of the API. The server refuses foreign origins, so the proxy speaks as its own page. */
const api = [
  "/assistants", "/threads", "/runs", "/store", "/crons", "/info", "/ok", "/metrics",
  "/openapi.json", "/docs", "/texts", "/ws",
];

export default defineConfig({
  base: "/studio/",
  plugins: [react()],
  css: {
    modules: {
      // Readable, and from the file's name alone: no path of the machine that builds gets in.
      generateScopedName: (name, file) => `${basename(file).split(".")[0]}-${name}`,
    },
  },
  build: {
    outDir: process.env.STUDIO_OUT || "../crates/mesh-studio/assets",
    emptyOutDir: true,
    target: "es2023",
    // The page may load its own files only, so nothing is written into it as `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    license: { fileName: "licenses.txt" },
  },
  server: {
    proxy: Object.fromEntries(
      api.map((path) => [
        path,
        { target: server, changeOrigin: true, ws: path === "/ws", headers: { origin: server } },
      ]),
    ),
  },
});
