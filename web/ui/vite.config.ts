import { defineConfig } from "vite";

// `npx vite` beside a running weir: requests of the API go to it, with the token of WEIR_TOKEN.
export default defineConfig({
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false },
  server: {
    proxy: {
      "/api": {
        target: process.env.WEIR_URL ?? "http://127.0.0.1:8080",
        changeOrigin: true,
        headers: { Authorization: `Bearer ${process.env.WEIR_TOKEN ?? ""}` },
      },
    },
  },
});
