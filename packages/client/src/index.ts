export { type Client, type ClientOptions, type ClientStats, createClient, type FlushOptions } from "./client.ts";
