export { type TrackioConfig, trackioTracker } from "./trackio-tracker.ts";
