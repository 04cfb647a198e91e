/** The bytes were written by another version of the statistics: fold the measurements again. */
export class StateVersionError extends Error {
  override readonly name = "StateVersionError";
}

/** Appends numbers (all 64 bits kept, −0 and NaN too) and texts. */
export class StateWriter {
  #view = new DataView(new ArrayBuffer(1024));
  #length = 0;

  number(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  numbers(values: Float64Array): void {
    for (const value of values) this.number(value);
  }

  text(value: string): void {
    // As JSON, which keeps half a surrogate pair that UTF-8 would replace: two names must not become one.
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    this.number(bytes.length);
    this.#reserve(bytes.length);
    new Uint8Array(this.#view.buffer).set(bytes, this.#length);
    this.#length += bytes.length;
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.#view.buffer.slice(0, this.#length));
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#view.byteLength) return;
    const grown = new Uint8Array(Math.max(2 * this.#view.byteLength, this.#length + bytes));
    grown.set(new Uint8Array(this.#view.buffer));
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads what a `StateWriter` wrote, in the same order. */
export class StateReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  number(): number {
    const value = this.#view.getFloat64(this.#offset, true);
    this.#offset += 8;
    return value;
  }

  fill(target: Float64Array): void {
    for (let index = 0; index < target.length; index += 1) target[index] = this.number();
  }

  text(): string {
    const length = this.number();
    const json = new TextDecoder().decode(this.#bytes.subarray(this.#offset, this.#offset + length));
    this.#offset += length;
    return String(JSON.parse(json));
  }
}
