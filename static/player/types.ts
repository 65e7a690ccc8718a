/** What the parts of the player say to each other. */

/** The playback answer of the API (docs: playback), as the page carries it. */
export interface PlaybackAnswer {
  embedId: string;
  videoId: string;
  title: string;
  visibility: 'public' | 'private';
  durationSeconds: number;
  isVertical: boolean;
  videoWidthPx: number;
  videoHeightPx: number;
  playback: {
    /** `/media/{video}/{grant}/master.m3u8`, or `…/{rendition}.mp4` where `contentType` is `mp4`. */
    uri: string;
    contentType: 'hls' | 'mp4';
    expiresInSeconds: number;
    refreshInSeconds: number;
  };
  /** Progressive files, the best quality first. */
  variants: { id: string; kind: 'progressive'; label: string; uri: string; contentType: 'mp4' }[];
  session: { id: string; renewUri: string; renewToken: string; endsInSeconds: number };
  posterUrl: string | null;
  captions: { language: string; label: string; uri: string }[];
  /** WebVTT of thumbnails, or null. */
  storyboardUrl: string | null;
  branding: { organizationName: string; primaryColor: string | null; showWatermark: boolean };
  controls: { autoplay: boolean; muted: boolean; loop: boolean; rememberPosition: boolean; showSpeed: boolean };
  /** The playlists themselves, where they are short: a start without a request for them. */
  inline?: {
    master: string;
    /** By name below the grant: `{rendition}/index.m3u8`. */
    media: Record<string, string>;
    /** What a start needs first, by name below the grant: the page has begun to fetch it. */
    preload?: string[];
  };
}

/** What the embedding page asks for in the URL; absent members leave it to the answer, the viewer or the browser. */
export interface Wishes {
  autoplay?: boolean | 'muted';
  muted?: boolean;
  loop?: boolean;
  startSeconds?: number;
  endSeconds?: number;
  controls?: boolean;
  preload?: 'auto' | 'metadata' | 'none';
  /** BCP 47 tag of the captions to show, or `off`. */
  captions?: string;
  /** BCP 47 tag of the interface's language. */
  lang?: string;
  /** CSS colour of the bar. */
  color?: string;
  /** Whether there is a speed menu. */
  speed?: boolean;
  rate?: number;
  /** Shorter side in pixels, or `auto`. */
  quality?: number | 'auto';
  resume?: boolean;
  keyboard?: boolean;
  pip?: boolean;
  title?: boolean;
  background?: boolean;
}

/** One quality that can be chosen. */
export interface Quality {
  id: string;
  /** `720p` */
  label: string;
  heightPx: number;
  bitsPerSecond: number;
}

/** Why nothing plays: the contract's code and the HTTP status behind it (0: none). */
export interface Refusal {
  code: string;
  status: number;
  /** Of a video that is being prepared, and waited for: how much is done, from 0 to 1, or null where that is not known. */
  progress?: number | null;
}

/** What plays: the engine behind one `<video>`, with the session that pays for it. */
export interface Player {
  readonly video: HTMLVideoElement;
  readonly answer: PlaybackAnswer;
  readonly wishes: Wishes;
  /** Qualities to choose from, the best first; empty where there is nothing to choose. */
  readonly qualities: readonly Quality[];
  /** The chosen quality's id, or `auto`. */
  quality: string;
  /** Why nothing plays now, if nothing may. */
  readonly blocked: Refusal | null;
  /** With sound if the browser lets us, else without, else `autoplayblocked`. */
  start(): Promise<void>;
  /** A fresh viewer token from the embedding page. */
  setToken(token: string): void;
  /** Where an asset is now: the same name under the grant of the moment. */
  assetUrl(uri: string): string;
  /** `qualities`: the list changed. `quality`: another one plays (detail: Quality). `renewed`: assets have new URLs.
      `blocked` (detail: Refusal), `unblocked`, `tokenexpiring` (`preventDefault()` says that somebody may bring a token),
      `autoplayblocked`, `firstframe`, `waitinglong` (a notice; detail: true when it begins, false when it is over). */
  readonly events: EventTarget;
}
