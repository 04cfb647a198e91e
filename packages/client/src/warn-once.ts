/** Passes on the first warning of each code: one broken collector must not write a line a second for days. */
export function warnOnce(onWarning: (message: string) => void): (code: string, message: string) => void {
  const warned = new Set<string>();
  return (code, message) => {
    if (warned.has(code)) return;
    warned.add(code);
    try {
      onWarning(message);
    } catch {
      // A fault in the reader of a warning must not end training.
    }
  };
}
