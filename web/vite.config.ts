/** Builds the page into dist/; in development it proxies the API of a running system. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const api = process.env.LOQUENT_URL ?? "http://127.0.0.1:8000";
const proxied = { target: api, changeOrigin: true };

export default defineConfig({
  plugins: [react()],
  server: {
    proxy: {
      "/auth": proxied,
      "/invitations": proxied,
      "/me": proxied,
      "/chatbots": { ...proxied, ws: true },
      "/knowledgebase": proxied,
    },
  },
  // The page is served under a strict content security policy: no asset may become a data: URL.
  build: { assetsInlineLimit: 0, target: "es2022", chunkSizeWarningLimit: 900 },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
