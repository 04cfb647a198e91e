import { z } from "zod";

/** Unix epoch [ms]. A fraction, as Python's clock gives it, is rounded: trackers take whole milliseconds. */
export const timeMsSchema = z
  .number()
  .nonnegative()
  .max(8.64e15, "must be a time of the calendar [ms]")
  .overwrite(Math.round);
