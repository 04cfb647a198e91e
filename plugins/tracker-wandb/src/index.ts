export type { WandbConnection } from "./client.ts";
export { type WandbConfig, wandbTracker } from "./wandb-tracker.ts";
