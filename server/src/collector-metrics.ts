/** Counters of the process; what lies in the store is read when `/metrics` is asked. */
export class CollectorMetrics {
  accepted = 0;
  duplicates = 0;
  rejected = 0;
  commits = 0;
  commitSeconds = 0;
  deliveries = 0;
  failedDeliveries = 0;
  messages = 0;
  failedMessages = 0;

  ingested(accepted: number, duplicates: number, rejected: number): void {
    this.accepted += accepted;
    this.duplicates += duplicates;
    this.rejected += rejected;
  }

  committed(durationMs: number): void {
    this.commits += 1;
    this.commitSeconds += durationMs / 1000;
  }

  delivered(succeeded: boolean): void {
    if (succeeded) this.deliveries += 1;
    else this.failedDeliveries += 1;
  }

  messageSent(succeeded: boolean): void {
    if (succeeded) this.messages += 1;
    else this.failedMessages += 1;
  }
}
