/** The captions of one video: which are shown, and where in the picture. */

import { recall, remember } from './memory';
import type { Player } from './types';

export interface Captions {
  readonly tracks: readonly TextTrack[];
  /** Language and label of what is shown, or `off`. */
  value: string;
  /** Shows what was shown last, or nothing. */
  toggle(): void;
  /** Lifts the cues by so many pixels. */
  raise(pixels: number): void;
}

export const keyOf = (track: TextTrack): string => `${track.language} ${track.label}`;

/** Whether a style sheet reaches the box that all cues stand in: in Chromium and Safari, not in Firefox. */
const HAS_BOX = CSS.supports('selector(::-webkit-media-text-track-container)');

/** Of a line of captions, as a part of the video's height: a font of 5 % (WebVTT §7.4), and what stands between lines. */
const LINE_HEIGHT = 0.06;

export function openCaptions(player: Player): Captions {
  const { video, answer, wishes } = player;
  if (!video.querySelector('track')) {
    for (const { uri, language, label } of answer.captions) {
      video.append(Object.assign(document.createElement('track'), { kind: 'captions', src: player.assetUrl(uri), srclang: language, label }));
    }
  }
  const tracks = [...video.textTracks].filter(({ kind }) => kind === 'captions' || kind === 'subtitles');
  const shown = () => tracks.find(({ mode }) => mode === 'showing');
  let chosen: TextTrack | undefined;
  const show = (wanted: TextTrack | undefined) => {
    chosen = wanted;
    for (const track of tracks) track.mode = track === wanted ? 'showing' : 'disabled';
  };
  // Something shows a second track beside the one that is chosen while tracks are being read (seen in Chromium).
  video.textTracks.addEventListener('change', () => {
    if (tracks.filter(({ mode }) => mode === 'showing').length > 1) show(chosen);
  });
  const wish = (wishes.captions ?? recall().captions ?? 'off').toLowerCase();
  const base = wish.split('-')[0];
  const first =
    tracks.find(({ language }) => language.toLowerCase() === wish) ?? tracks.find(({ language }) => language.toLowerCase().split('-')[0] === base);
  show(wish === 'off' ? undefined : first);
  let last = first ?? tracks.find(({ language }) => navigator.language.startsWith(language.split('-')[0] || '?')) ?? tracks[0];

  return {
    tracks,
    get value() {
      const track = shown();
      return track ? keyOf(track) : 'off';
    },
    set value(key: string) {
      const track = tracks.find((one) => keyOf(one) === key);
      show(track);
      last = track ?? last;
      remember({ captions: track?.language ?? 'off' });
    },
    toggle() {
      this.value = shown() || !last ? 'off' : keyOf(last);
    },
    raise: HAS_BOX ? (pixels) => video.style.setProperty('--raised', `${pixels}px`) : lifterOf(video, tracks),
  };
}

/**
 * Lifts the cues one by one: each that has no place of its own is given one, and loses it when the lift is over. In
 * lines, because Firefox 140 takes `lineAlign: end` for the middle; a line that it breaks is counted as one.
 */
function lifterOf(video: HTMLVideoElement, tracks: readonly TextTrack[]): (pixels: number) => void {
  const lifted = new Set<VTTCue>();
  let pixels = 0;
  const place = () => {
    if (pixels === 0) {
      for (const cue of lifted) cue.line = 'auto';
      return lifted.clear();
    }
    for (const track of tracks.filter(({ mode }) => mode === 'showing')) {
      for (const cue of (track.cues ?? []) as Iterable<VTTCue>) {
        if (cue.line === 'auto' && !cue.vertical && !cue.region) lifted.add(cue);
      }
    }
    const below = Math.ceil(pixels / (LINE_HEIGHT * video.clientHeight));
    for (const cue of lifted) cue.line = -(below + cue.text.split('\n').length);
  };
  // Cues come while a track is read.
  for (const track of tracks) track.addEventListener('cuechange', place);
  return (wanted) => {
    pixels = wanted;
    place();
  };
}
