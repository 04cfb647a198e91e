/** One field of a protobuf message in wire format: what an event needs, no more. */
export type Field = Uint8Array;

/** A message is its fields, one after the other. */
export function message(...fields: readonly Field[]): Uint8Array {
  return Buffer.concat(fields);
}

/** int64, enum, bool: wire type 0. @param value - whole number ≥ 0 */
export function varintField(number: number, value: number): Field {
  return Buffer.concat([varint(number * 8), varint(value)]);
}

/** double: wire type 1. */
export function doubleField(number: number, value: number): Field {
  const key = varint(number * 8 + 1);
  const field = Buffer.alloc(key.length + 8);
  field.set(key);
  field.writeDoubleLE(value, key.length);
  return field;
}

/** float: wire type 5. */
export function floatField(number: number, value: number): Field {
  const key = varint(number * 8 + 5);
  const field = Buffer.alloc(key.length + 4);
  field.set(key);
  field.writeFloatLE(value, key.length);
  return field;
}

/** string, bytes or an embedded message: wire type 2. */
export function bytesField(number: number, value: Uint8Array | string): Field {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** Base-128, least significant group first. Divides instead of shifting: steps may exceed 32 bits. */
function varint(value: number): Uint8Array {
  const groups: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    groups.push((rest % 0x80) + 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Uint8Array.from([...groups, rest]);
}
