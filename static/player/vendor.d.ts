/** The light build of hls.js has no types of its own: it is the full one without what we don't use. */
declare module 'hls.js/light' {
  export * from 'hls.js';
  export { default } from 'hls.js';
}

/** What `media-tracks/polyfill` adds to media elements; it says so only in a file that it does not name. */
interface HTMLMediaElement {
  videoRenditions: import('media-tracks').VideoRenditionList;
  addVideoTrack(kind: string, label?: string, language?: string): import('media-tracks').VideoTrack;
  removeVideoTrack(track: import('media-tracks').VideoTrack): void;
}
