import type { Announcer } from "./announcer.ts";
import type { ConnectionBanner } from "./connection-banner.ts";

/** Where a view draws, and until when. */
export interface View {
  readonly main: HTMLElement;
  /** Where the reader is, in the bar on top. */
  readonly trail: HTMLElement;
  readonly banner: ConnectionBanner;
  readonly announcer: Announcer;
  /** Aborted when the reader goes elsewhere. */
  readonly signal: AbortSignal;
}
