import { bytesField, doubleField, floatField, message, varintField } from "./protobuf.ts";

/** When something was: an event's step and wall time. */
export interface Moment {
  readonly step: number;
  /** Unix epoch [ms]. */
  readonly timeMs: number;
}

// Numbers of fields and enums: tensorboard/compat/proto/{event,summary,tensor,types}.proto.
const dataType = { float: 1, string: 7 } as const;
const dataClass = { scalar: 1, tensor: 2, blobSequence: 3 } as const;

/** The event that every file starts with. */
export function fileVersionEvent(timeMs: number): Uint8Array {
  return message(doubleField(1, timeMs / 1000), bytesField(3, "brain.Event:2"));
}

/**
 * Whether TensorBoard can show a value. It keeps scalars as floats of 32 bits, and its default loader shows nothing of a
 * tensor of doubles (seen in 2.21); outside a float's range a value would become infinity or 0.
 */
export function isShowable(value: number): boolean {
  const kept = Math.fround(value);
  return Number.isFinite(kept) && (kept !== 0 || value === 0);
}

/** A scalar, rounded to the 24 bits of a float. */
export function scalarEvent(tag: string, value: number, at: Moment): Uint8Array {
  const tensor = message(varintField(1, dataType.float), bytesField(2, ""), floatField(5, value));
  return summaryEvent(tag, tensor, metadata("scalars", dataClass.scalar), at);
}

/** A picture, as width, height and the PNG's own bytes. */
export function imageEvent(
  tag: string,
  image: { readonly title: string; readonly png: Uint8Array; readonly width: number; readonly height: number },
  at: Moment,
): Uint8Array {
  const tensor = stringVector([String(image.width), String(image.height), image.png]);
  return summaryEvent(tag, tensor, metadata("images", dataClass.blobSequence, image.title), at);
}

/** Markdown, which TensorBoard renders and sanitises itself. */
export function textEvent(tag: string, markdown: string, at: Moment): Uint8Array {
  return summaryEvent(tag, stringScalar(markdown), metadata("text", dataClass.tensor), at);
}

/** What the tab of the panels draws from, for the plugin that shows it. */
export function panelDataEvent(json: string, at: Moment): Uint8Array {
  return summaryEvent("noise_scale/panel_data", stringScalar(json), metadata("noisescale", dataClass.tensor), at);
}

/** The layout of the Custom Scalars tab; `layout` is a serialised `tensorboard.Layout`. */
export function layoutEvent(layout: Uint8Array, at: Moment): Uint8Array {
  return summaryEvent(
    "custom_scalars__config__",
    stringScalar(layout),
    metadata("custom_scalars", dataClass.tensor),
    at,
  );
}

function summaryEvent(tag: string, tensor: Uint8Array, tagMetadata: Uint8Array, at: Moment): Uint8Array {
  const value = message(bytesField(1, tag), bytesField(8, tensor), bytesField(9, tagMetadata));
  return message(doubleField(1, at.timeMs / 1000), varintField(2, at.step), bytesField(5, bytesField(1, value)));
}

function metadata(plugin: string, kind: number, displayName = ""): Uint8Array {
  return message(bytesField(1, bytesField(1, plugin)), bytesField(2, displayName), varintField(4, kind));
}

function stringScalar(text: Uint8Array | string): Uint8Array {
  return message(varintField(1, dataType.string), bytesField(2, ""), bytesField(8, text));
}

function stringVector(texts: readonly (Uint8Array | string)[]): Uint8Array {
  const shape = bytesField(2, varintField(1, texts.length));
  return message(varintField(1, dataType.string), bytesField(2, shape), ...texts.map((text) => bytesField(8, text)));
}
