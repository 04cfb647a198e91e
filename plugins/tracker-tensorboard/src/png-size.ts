import { TrackerError } from "@noisescale/tracker";

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/**
 * Width and height [pixels] from a PNG's header chunk (RFC 2083, 4.1.1).
 *
 * @throws TrackerError, not retryable, where the bytes are no PNG
 */
export function pngSize(panel: string, bytes: Uint8Array): { readonly width: number; readonly height: number } {
  const png = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (png.length < 24 || !png.subarray(0, 8).equals(signature) || png.toString("latin1", 12, 16) !== "IHDR") {
    throw new TrackerError(`tensorboard: the panel ${JSON.stringify(panel)} was not written: its bytes are no PNG.`, {
      retryable: false,
    });
  }
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
}
