import { expect, test } from "vitest";
import { measurementSchema, openApiDocument, toJsonSchema } from "../src/index.ts";

test("the JSON Schema of a measurement writes layers as an object of pairs and leaves the attempt optional", () => {
  const schema = toJsonSchema(measurementSchema, "input") as {
    required: string[];
    properties: Record<string, { type: string; additionalProperties?: unknown }>;
  };
  expect(schema.required).toEqual(["step", "time_ms", "small", "big"]);
  expect(schema.properties["layers"]).toMatchObject({ type: "object", additionalProperties: { type: "array" } });
});

test("every reference of the OpenAPI document points at a schema that it holds", () => {
  const document = openApiDocument("1.2.3");
  const schemas = (document["components"] as { schemas: Record<string, unknown> }).schemas;
  const references = [...JSON.stringify(document["paths"]).matchAll(/#\/components\/schemas\/(\w+)/g)].map((m) => m[1]);
  expect(references.length).toBeGreaterThan(10);
  for (const name of references) expect(Object.keys(schemas)).toContain(name);
  expect(document).toMatchObject({ openapi: "3.1.1", info: { version: "1.2.3" } });
});
