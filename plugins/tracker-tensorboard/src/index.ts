export { type TensorboardConfig, tensorboardTracker } from "./tensorboard-tracker.ts";
