/** The light build of hls.js has no types of its own: it is the full one without what we don't use. */
declare module 'hls.js/light' {
  export * from 'hls.js';
  export { default } from 'hls.js';
}
