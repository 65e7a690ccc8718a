/** What has to be said in every language. */

/** Why nothing plays, as far as a viewer needs to know it. */
export type State =
  | 'private'
  | 'expired'
  | 'unavailable'
  | 'otherVideo'
  | 'otherSite'
  | 'notFound'
  | 'preparing'
  | 'tooMany'
  | 'invalid'
  | 'failed'
  | 'ended'
  | 'gone'
  | 'unplayable';

export interface Words {
  direction: 'ltr' | 'rtl';
  /** A heading, and a line of help. */
  states: Record<State, readonly [string, string]>;
  retry: string;
  copy: string;
  copied: string;
  copyReference: string;
  /** The notice while the server can't be reached. */
  retrying: string;

  settings: string;
  captions: string;
  quality: string;
  speed: string;
  volume: string;
  off: string;
  auto: string;
  shortcuts: string;
  shortcutList: string;
  close: string;
  back: string;

  /** The list of shortcuts. */
  playOrPause: string;
  seekTen: string;
  muteOrUnmute: string;
  captionsOnOrOff: string;
  fullscreen: string;
  pictureInPicture: string;
  slowerOrFaster: string;
  jumpToTenth: string;
  startOrEnd: string;
  previousOrNextFrame: string;

  /** The dictionary of media-chrome, by its English sentences: those of the elements that are used. English needs none. */
  elements: Record<string, string>;
}
