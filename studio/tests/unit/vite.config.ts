// The unit tests as one program for Node: `npm test`.
import { defineConfig } from "vite";
import studio from "../../vite.config";

export default defineConfig({
  ...studio,
  build: {
    ssr: "tests/unit/forms.test.tsx",
    outDir: "node_modules/.unit",
    emptyOutDir: true,
    target: "node20",
  },
});
