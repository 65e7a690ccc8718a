/** The colour of the bar, as the organization or the embedding page wants it, and still to be seen. */

/** WCAG 2.2 §1.4.11 */
const CONTRAST = 3;
/** What lies behind the bar: its scrim over a grey picture. */
const GROUND: Rgb = [38, 39, 42];
const STEPS = 20;

type Rgb = [number, number, number];

/** The colour itself, or as much of white in it as it takes. Undefined if it is none. */
export function visibleColour(colour: string): string | undefined {
  const rgb = parse(colour);
  if (!rgb) return undefined;
  for (let step = 0; step < STEPS; step++) {
    const mixed = rgb.map((part) => Math.round(part + ((255 - part) * step) / STEPS)) as Rgb;
    if (contrast(mixed, GROUND) >= CONTRAST) return `rgb(${mixed.join(' ')})`;
  }
  return '#fff';
}

/** The browser reads it: whatever CSS calls a colour. */
function parse(colour: string): Rgb | undefined {
  // Words that depend on where they stand are no colours here.
  if (!CSS.supports('color', colour) || /var\(|inherit|initial|unset|revert|currentcolor|transparent/i.test(colour)) return undefined;
  const probe = document.createElement('i');
  // Whatever it is written in, a mixture in sRGB comes out in sRGB.
  probe.style.color = `color-mix(in srgb, ${colour}, ${colour})`;
  document.body.append(probe);
  const computed = getComputedStyle(probe).color;
  probe.remove();
  const parts = (computed.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).slice(0, 3).map(Number);
  if (parts.length < 3) return undefined;
  const scale = computed.startsWith('color(') ? 255 : 1;
  return parts.map((part) => Math.min(255, Math.max(0, part * scale))) as Rgb;
}

function contrast(one: Rgb, other: Rgb): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

function luminance(rgb: Rgb): number {
  const [red, green, blue] = rgb.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
