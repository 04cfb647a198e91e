export type { BatchSizeChange, BatchSizeLimits } from "./batch-size-control.ts";
export { type Client, type ClientOptions, type ClientStats, createClient, type FlushOptions } from "./client.ts";
