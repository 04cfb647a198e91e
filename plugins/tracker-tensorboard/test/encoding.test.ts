import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32c, maskedCrc32c } from "../src/crc32c.ts";
import { bytesField, doubleField, varintField } from "../src/protobuf.ts";
import { tfRecord } from "../src/tf-record.ts";

test("CRC-32C agrees with the vectors of RFC 3720, appendix B.4", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => 31 - index))).toBe(0x113fdb5c);
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
});

test("the mask is undone by its inverse, and stays an unsigned 32-bit number", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const rotated = (maskedCrc32c(bytes) - 0xa282ead8) >>> 0;
      expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc32c(bytes));
    }),
    { seed: 9 },
  );
});

test("whole numbers beyond 32 bits are encoded as protobuf does it", () => {
  expect([...varintField(2, 0)]).toEqual([0x10, 0]);
  expect([...varintField(2, 300)]).toEqual([0x10, 0xac, 0x02]);
  expect([...varintField(2, Number.MAX_SAFE_INTEGER)]).toEqual([0x10, ...Array(7).fill(0xff), 0x0f]);
});

test("numbers, texts and messages carry their wire type", () => {
  expect([...doubleField(1, 1)]).toEqual([0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
  expect([...bytesField(3, "é")]).toEqual([0x1a, 2, 0xc3, 0xa9]);
});

test("a record is its length, its data and their checksums", () => {
  const record = tfRecord(Buffer.from("abc"));
  expect(record.readBigUInt64LE(0)).toBe(3n);
  expect(record.readUInt32LE(8)).toBe(maskedCrc32c(record.subarray(0, 8)));
  expect(record.toString("utf8", 12, 15)).toBe("abc");
  expect(record.readUInt32LE(15)).toBe(maskedCrc32c(Buffer.from("abc")));
  expect(record).toHaveLength(19);
});
