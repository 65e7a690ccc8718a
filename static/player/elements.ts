/** Makes elements: attributes as in HTML, texts as texts. */
export function make(name: string, attributes: Record<string, string | boolean> = {}, ...children: (Node | string)[]): HTMLElement {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== false) element.setAttribute(key, value === true ? '' : value);
  element.append(...children);
  return element;
}

/** A drawing that says nothing to a screen reader. */
export function drawing(path: string, attributes: Record<string, string> = {}): SVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const outline = document.createElementNS(svg.namespaceURI, 'path');
  outline.setAttribute('d', path);
  for (const [key, value] of Object.entries({ viewBox: '0 0 24 24', 'aria-hidden': 'true', ...attributes })) svg.setAttribute(key, value);
  svg.append(outline);
  return svg;
}
