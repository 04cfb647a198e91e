import { z } from "zod";

/** A text, or the environment variable that holds it: a secret need not lie in a file. */
export type Secret = string | { readonly env: string };

export const secretSchema: z.ZodType<string, Secret> = z
  .union([z.string().min(1), z.strictObject({ env: z.string().min(1) })], 'must be a text or {"env": name}')
  .transform((secret, context) => {
    if (typeof secret === "string") return secret;
    const value = process.env[secret.env];
    if (value !== undefined && value !== "") return value;
    const message = `the environment variable ${secret.env} is not set`;
    context.issues.push({ code: "custom", message, input: secret });
    return z.NEVER;
  });
