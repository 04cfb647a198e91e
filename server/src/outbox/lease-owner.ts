import { randomUUID } from "node:crypto";
import { hostname } from "node:os";

/** Holder of leases in this process: machine, process id, and a random part, since process ids come again. */
export const leaseOwner: string = `${hostname()}/${process.pid}/${randomUUID()}`;

/** True where the holder was a process of this machine that has ended: a lease of its own would only run out. */
export function isGone(owner: string): boolean {
  const [machine, id] = owner.split("/");
  if (owner === leaseOwner || machine !== hostname()) return false;
  const processId = Number(id);
  if (processId === process.pid) return true;
  try {
    process.kill(processId, 0);
    return false;
  } catch (error) {
    // EPERM: it runs, and belongs to another user.
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
