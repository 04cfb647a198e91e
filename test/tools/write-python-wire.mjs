// Writes the Python types of the wire, plugins/hook-python/src/noisescale/wire.py, from the JSON Schema of packages/protocol.
//
//   node --conditions=@noisescale/source test/tools/write-python-wire.mjs           writes the file
//   node --conditions=@noisescale/source test/tools/write-python-wire.mjs --check   fails if it would change
import { readFileSync, writeFileSync } from "node:fs";
import {
  eventResultSchema,
  ingestResultSchema,
  measurementSchema,
  runDeclarationSchema,
  runEventSchema,
  snapshotSchema,
  toJsonSchema,
} from "@noisescale/protocol";

const target = new URL("../../plugins/hook-python/src/noisescale/wire.py", import.meta.url);

/** @typedef {Record<string, any>} JsonSchema */

/** @type {Map<string, string>} class source by class name, in the order of definition */
const classes = new Map();

/** @type {Map<string, string>} class name by its schema, so that one schema becomes one class */
const nameOfSchema = new Map();

/**
 * @param {JsonSchema} schema
 * @param {string} name - of the class, if it becomes one
 * @returns {string} a Python type expression
 */
function pythonType(schema, name) {
  if (schema["const"] !== undefined) return `Literal[${JSON.stringify(schema["const"])}]`;
  if (schema["enum"] !== undefined) {
    return `Literal[${schema["enum"].map((/** @type {unknown} */ value) => JSON.stringify(value)).join(", ")}]`;
  }
  if (schema["anyOf"] !== undefined) {
    const members = schema["anyOf"].map((/** @type {JsonSchema} */ member, /** @type {number} */ place) =>
      pythonType(member, place === 0 ? name : `${name}${place + 1}`),
    );
    return [...new Set(members)].join(" | ");
  }
  if (Array.isArray(schema["type"])) {
    return schema["type"].map((/** @type {string} */ type) => pythonType({ ...schema, type }, name)).join(" | ");
  }
  if (schema["prefixItems"] !== undefined) {
    const items = schema["prefixItems"].map((/** @type {JsonSchema} */ item) => pythonType(item, name));
    return `tuple[${items.join(", ")}]`;
  }
  switch (schema["type"]) {
    case "string":
      return "str";
    case "integer":
      return "int";
    case "number":
      return "float";
    case "boolean":
      return "bool";
    case "null":
      return "None";
    case "array":
      return `list[${pythonType(schema["items"], name.replace(/s$/, ""))}]`;
    case "object":
      if (schema["properties"] !== undefined) return defineClass(schema, name);
      return `dict[str, ${pythonType(schema["additionalProperties"] ?? {}, name.replace(/s$/, ""))}]`;
    default:
      return "object";
  }
}

/**
 * @param {JsonSchema} schema
 * @param {string} name
 */
function defineClass(schema, name) {
  const text = JSON.stringify(schema);
  const known = nameOfSchema.get(text);
  if (known !== undefined) return known;
  nameOfSchema.set(text, name);
  const required = new Set(schema["required"] ?? []);
  const fields = Object.entries(schema["properties"]).map(([field, type]) => ({
    line: `    ${field}: ${pythonType(type, name + pascalCase(field))}`,
    required: required.has(field),
  }));
  const lines = (/** @type {boolean} */ wanted) =>
    fields.filter((field) => field.required === wanted).map((f) => f.line);
  const [needed, optional] = [lines(true), lines(false)];
  // Python 3.10 has no typing.NotRequired, so that what may be left out is a class of its own.
  const source =
    optional.length === 0
      ? [`class ${name}(TypedDict):`, ...needed]
      : needed.length === 0
        ? [`class ${name}(TypedDict, total=False):`, ...optional]
        : [
            `class _${name}Required(TypedDict):`,
            ...needed,
            "",
            "",
            `class ${name}(_${name}Required, total=False):`,
            ...optional,
          ];
  classes.set(name, source.join("\n"));
  return name;
}

/** @param {string} name */
function pascalCase(name) {
  return name.replace(/(^|_)([a-z])/g, (_, __, letter) => letter.toUpperCase());
}

pythonType(toJsonSchema(runDeclarationSchema, "input"), "RunDeclaration");
pythonType(toJsonSchema(measurementSchema, "input"), "Measurement");
pythonType(toJsonSchema(runEventSchema, "input"), "RunEvent");
pythonType(toJsonSchema(snapshotSchema, "output"), "Snapshot");
const ingestResult = toJsonSchema(ingestResultSchema, "output");
const [, briefSnapshot] = /** @type {any} */ (ingestResult)["properties"]["snapshot"]["anyOf"];
pythonType(briefSnapshot, "BriefSnapshot");
pythonType(ingestResult, "IngestResult");
pythonType(toJsonSchema(eventResultSchema, "output"), "EventResult");

const text = `"""What goes over the wire. Written by test/tools/write-python-wire.mjs from packages/protocol; do not edit."""

from typing import Literal, TypedDict


${[...classes.values()].join("\n\n\n")}
`;

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("wire.py is not what packages/protocol says: run test/tools/write-python-wire.mjs");
    process.exitCode = 1;
  }
} else {
  writeFileSync(target, text);
}
