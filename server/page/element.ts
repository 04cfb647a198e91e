type Child = Node | string | null | undefined | false;
export type Attributes = Readonly<Record<string, string | boolean | undefined>>;

/** An element with attributes and children; strings become text, never markup. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function svgElement<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[Tag] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill<Made extends Element>(made: Made, attributes: Attributes, children: readonly Child[]): Made {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (typeof value === "string") made.setAttribute(name, value);
  }
  made.append(...children.filter((child): child is Node | string => typeof child === "string" || isNode(child)));
  return made;
}

function isNode(child: Child): child is Node {
  return child instanceof Node;
}

/** Writes only what differs, so that a live page moves no selection and no focus. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** An address that a tracker gave: a link where it is one to a web page, else text. */
export function linkOrText(text: string, address: string | null, attributes: Attributes = {}): HTMLElement {
  if (address !== null && URL.canParse(address) && /^https?:$/.test(new URL(address).protocol)) {
    return element("a", { ...attributes, href: address, rel: "noreferrer" }, text);
  }
  return element("span", {}, text);
}
