import tailwind from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const API = 'http://127.0.0.1:8080';

/** Fetches the typeface with the page instead of after its style sheet. */
function preloadFont(): Plugin {
  return {
    name: 'preload-font',
    transformIndexHtml: {
      order: 'post',
      handler: (_html, { bundle }) =>
        Object.keys(bundle ?? {})
          .filter((name) => name.endsWith('.woff2'))
          .map((name) => ({
            tag: 'link',
            attrs: {
              rel: 'preload',
              href: `/${name}`,
              as: 'font',
              type: 'font/woff2',
              crossorigin: '',
            },
            injectTo: 'head' as const,
          })),
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwind(), preloadFont()],
  resolve: {
    alias: { '@': new URL('./src', import.meta.url).pathname },
    // The client is linked and brings its own copies.
    dedupe: ['@bufbuild/protobuf', '@connectrpc/connect', '@connectrpc/connect-web'],
  },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the page's policy allows no data: URLs of scripts and fonts
    reportCompressedSize: false,
    manifest: true, // for scripts/bundle-size.mjs
  },
  server: {
    proxy: { '/chatterbox.v1': API, '/v1': API, '/healthz': API },
    fs: { allow: ['..'] },
  },
});
