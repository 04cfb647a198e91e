import { createCanvas, type Image } from "@napi-rs/canvas";

/** Pixels of each colour of a picture, by its six hexadecimal digits. */
export function colours(picture: Image): ReadonlyMap<string, number> {
  const canvas = createCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, picture.width, picture.height);
  const counts = new Map<string, number>();
  for (let at = 0; at < data.length; at += 4) {
    const colour = [data[at], data[at + 1], data[at + 2]]
      .map((part) => (part ?? 0).toString(16).padStart(2, "0"))
      .join("");
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  return counts;
}
