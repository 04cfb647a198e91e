import { z } from "zod";

/** JSON Schema (draft 2020-12) of a wire schema; `input` is what a sender writes, `output` what the collector answers. */
export function toJsonSchema(schema: z.ZodType, io: "input" | "output"): Record<string, unknown> {
  const { $schema: _, ...jsonSchema } = z.toJSONSchema(schema, {
    io,
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema: target }) => {
      const definition = zodSchema._zod.def;
      // On the wire a Map of named values is an object.
      if (definition.type === "map") {
        target.type = "object";
        target.additionalProperties = toJsonSchema(definition.valueType as z.ZodType, io);
      }
    },
  });
  return jsonSchema;
}
