const everyMs = 3000;

/** Does something now and every few seconds while the page can be seen. */
export function poll(signal: AbortSignal, work: () => Promise<void>): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const turn = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    if (signal.aborted || document.hidden) return;
    await work();
    if (!signal.aborted && timer === undefined) timer = setTimeout(() => void turn(), everyMs);
  };
  document.addEventListener("visibilitychange", () => void turn(), { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  void turn();
}
