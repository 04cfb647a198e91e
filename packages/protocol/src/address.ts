/** Port the collector listens on, and a hook sends to, where nothing else is said. */
export const defaultCollectorPort = 7677;
