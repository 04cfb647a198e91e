/** A rectangle on the canvas [pixels], y downwards. */
export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A straight piece of a drawn line [pixels]. */
export interface Segment {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/** A text that wants to stand at a place. */
export interface LabelWish {
  /** Of the text [pixels]. */
  readonly width: number;
  /** The place [pixels]. */
  readonly x: number;
  readonly y: number;
  /** Side of that place on which the text stands. */
  readonly align: "left" | "right" | "center";
  /** Above the place, below it, or beside it. */
  readonly position: "above" | "below" | "beside";
}

/** Where a text goes: its left end and its middle's height [pixels]. */
export interface LabelPlace {
  readonly left: number;
  readonly center: number;
}

export const labelHeight = 14;
const gap = 9;
const rise = 12;
/** Free space that a text keeps around itself. */
const margin = 2;
const moves: readonly number[] = [0, 5, 10, 16, 22, 30, 40, 52, 66, 84, 104];
const asides: readonly number[] = [0, 24, 56, 96];

// What a place costs, in pixels of distance that one would go to avoid it.
const onText = 1000;
const onLine = 45;
const onOtherSide = 8;

/**
 * Finds a place for each label, inside the area, where it covers no other label and, where that is possible near by, no
 * line. Earlier labels choose first.
 *
 * @param lines - drawn lines, each as its pieces
 */
export function placeLabels(
  wishes: readonly LabelWish[],
  lines: readonly (readonly Segment[])[],
  area: Box,
): LabelPlace[] {
  const taken: Box[] = [];
  return wishes.map((wish) => {
    let best = { left: wish.x, center: wish.y };
    const reach = wish.width + gap + margin + Math.max(...asides);
    const near = lines.map((line) =>
      line.filter(({ x1, x2 }) => Math.max(x1, x2) >= wish.x - reach && Math.min(x1, x2) <= wish.x + reach),
    );
    let bestCost = Number.POSITIVE_INFINITY;
    for (const { left, center, cost: distance } of candidates(wish, area)) {
      if (distance >= bestCost) continue;
      const box = boxOf(left, center, wish.width);
      const cost =
        distance +
        onText * taken.filter((other) => overlaps(other, box)).length +
        onLine * near.filter((line) => line.some((segment) => crosses(segment, box))).length;
      if (cost < bestCost) {
        bestCost = cost;
        best = { left, center };
      }
    }
    taken.push(boxOf(best.left, best.center, wish.width));
    return best;
  });
}

function candidates(wish: LabelWish, area: Box): (LabelPlace & { readonly cost: number })[] {
  const { width, x, align, position } = wish;
  // From a place outside the area every move might end at the same edge.
  const y = Math.min(Math.max(wish.y, area.top), area.bottom);
  const shifts = { left: -width - gap, right: gap, center: -width / 2 };
  const inside = (left: number, center: number): LabelPlace => ({
    left: Math.min(Math.max(left, area.left + margin), area.right - width - margin),
    center: Math.min(Math.max(center, area.top + labelHeight / 2), area.bottom - labelHeight / 2),
  });
  const aligns = position === "beside" ? (["right", "left", "center"] as const) : [align];
  return aligns.flatMap((side) =>
    moves.flatMap((move) =>
      [-1, 1].flatMap((direction) => {
        const preferred = position === "beside" || (position === "above") === direction < 0;
        // Beside a place there is no need to leave its height, unless the text stands right above or below it.
        const start = position === "beside" && side !== "center" ? 0 : rise;
        const cost = move + (preferred ? 0 : onOtherSide) + (side === align ? 0 : onOtherSide);
        return asides.map((aside) => ({
          ...inside(
            x + shifts[side] + (side === "left" ? -aside : side === "right" ? aside : 0),
            y + direction * (start + move),
          ),
          cost: cost + aside / 3,
        }));
      }),
    ),
  );
}

function boxOf(left: number, center: number, width: number): Box {
  return {
    left: left - margin,
    right: left + width + margin,
    top: center - labelHeight / 2,
    bottom: center + labelHeight / 2,
  };
}

function overlaps(one: Box, other: Box): boolean {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

/** Whether a piece of a line meets a box: Liang and Barsky's clipping. */
function crosses({ x1, y1, x2, y2 }: Segment, { left, right, top, bottom }: Box): boolean {
  if (Math.max(x1, x2) < left || Math.min(x1, x2) > right) return false;
  if (Math.max(y1, y2) < top || Math.min(y1, y2) > bottom) return false;
  let enter = 0;
  let leave = 1;
  for (const [delta, from] of [
    [x1 - x2, x1 - left],
    [x2 - x1, right - x1],
    [y1 - y2, y1 - top],
    [y2 - y1, bottom - y1],
  ] as const) {
    if (delta === 0) {
      if (from < 0) return false;
    } else if (delta < 0) enter = Math.max(enter, from / delta);
    else leave = Math.min(leave, from / delta);
  }
  return enter <= leave;
}
