/** What of hls.js is used, as a file of its own: the first frame does not wait for it. */

export { default as Hls, ErrorDetails, ErrorTypes, Events } from 'hls.js/light';
